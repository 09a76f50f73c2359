package guest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
	"cheeseboard/syncer/upstreamtest"
)

// newCard is a card with the image that CHEESEBOARD_TEST_IMAGE names the folder of, as
// scripts/image has built it.
func newCard(t *testing.T, size int64) guest.Card {
	t.Helper()
	folder := os.Getenv("CHEESEBOARD_TEST_IMAGE")
	if folder == "" {
		t.Skip("only with CHEESEBOARD_TEST_IMAGE=FOLDER, what scripts/image has built; scripts/test --only image does both")
	}
	guest.NeedBoards(t)
	images, err := filepath.Glob(filepath.Join(folder, "cheeseboard-*-arm64.img.gz"))
	if err != nil || len(images) != 1 {
		t.Fatalf("there are %d images in %s (%v)", len(images), folder, err)
	}
	card, err := guest.Unpack(images[0], filepath.Join(t.TempDir(), "card"), size)
	if err != nil {
		t.Fatal(err)
	}
	return card
}

// patient ends before the test is killed, so that the console is seen.
func patient(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	t.Cleanup(stop)
	return ctx
}

// get asks a board; "" stands for no answer.
func get(ctx context.Context, address, path string) (status int, body string) {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0, ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	raw, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(raw)
}

// until asks a board until what it answers is as wanted, and gives the moment.
func until(ctx context.Context, t *testing.T, p *guest.Powered, path string, right func(status int, body string) bool) time.Time {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		asking, stop := context.WithTimeout(ctx, 5*time.Second)
		status, body := get(asking, p.Address(80), path)
		stop()
		if status != 0 && right(status, body) {
			return time.Now()
		}
		if p.Off() {
			t.Fatalf("the board went off while it was asked for %s", path)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the board does not answer %s as it should; the last was %d %s", path, status, body)
		case <-tick.C:
		}
	}
}

// answered is any answer.
func answered(int, string) bool { return true }

// firstAnswer is when a box that starts answers first. Each of its askers has a connection
// of its own: one that comes too early is kept by qemu's network, and tried again late.
func firstAnswer(ctx context.Context, t *testing.T, p *guest.Powered) time.Time {
	t.Helper()
	if _, err := p.Await(ctx, "the program is started"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(ctx)
	var askers sync.WaitGroup
	defer askers.Wait()
	defer stop()
	answers := make(chan time.Time)
	for {
		askers.Go(func() {
			if status := askAlone(ctx, p.Address(80), "/healthz"); status == 0 {
				return
			}
			select {
			case answers <- time.Now():
			case <-ctx.Done():
			}
		})
		select {
		case at := <-answers:
			return at
		case <-time.After(50 * time.Millisecond):
			if p.Off() {
				t.Fatal("the board went off before it answered")
			}
		case <-ctx.Done():
			t.Fatal("the board does not answer")
		}
	}
}

// askAlone asks a board by a connection that is used this once; 0 stands for no answer.
func askAlone(ctx context.Context, address, path string) (status int) {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0
	}
	if err := resp.Body.Close(); err != nil {
		return 0
	}
	return resp.StatusCode
}

// stamp is what a line of the console says of when it was written, since the kernel's
// start.
var stamp = regexp.MustCompile(`^\[ *(\d+\.\d+)\] `)

// kernelZero is when the kernel started, by our clock: the line that was on its way for
// the shortest time tells.
func kernelZero(p *guest.Powered) (zero time.Time) {
	lines, _ := p.Lines()
	for _, line := range lines {
		match := stamp.FindStringSubmatch(line.Text)
		if match == nil {
			continue
		}
		seconds, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			continue
		}
		if at := line.At.Add(-time.Duration(seconds * float64(time.Second))); zero.IsZero() || at.Before(zero) {
			zero = at
		}
	}
	return zero
}

// stampOf gives what the first line with a text says of its time.
func stampOf(ctx context.Context, t *testing.T, p *guest.Powered, text string) time.Duration {
	t.Helper()
	line, err := p.Await(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	match := stamp.FindStringSubmatch(line.Text)
	if match == nil {
		t.Fatalf("there is no time in %q", line.Text)
	}
	seconds, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

// loud has the kernel say everything on the console.
const loud = "ignore_loglevel"

// startUpstream serves an index on loopback that breaks connections, and gives its
// address as a guest sees it.
func startUpstream(t *testing.T) (upstream *upstreamtest.Server, address string) {
	t.Helper()
	upstream = upstreamtest.NewServer(upstreamtest.SampleIndex(1))
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	upstream.Tell(upstreamtest.OnFile("stilton-*.whl"), upstreamtest.CutAfter(1<<20), 3)
	// In a guest, this machine is 10.0.2.2.
	return upstream, strings.Replace(upstream.IndexURL(), "127.0.0.1", "10.0.2.2", 1)
}

// report tells how long a start took: the kernel, and then we.
func report(ctx context.Context, t *testing.T, p *guest.Powered, what string, answered time.Time) {
	t.Helper()
	kernel := stampOf(ctx, t, p, "Run /init")
	all := answered.Sub(kernelZero(p))
	t.Logf("%s: /healthz answers %s after the kernel's start: %s of the kernel, %s of ours", what,
		all.Round(10*time.Millisecond), kernel.Round(10*time.Millisecond), (all - kernel).Round(10*time.Millisecond))
}

// TestImagePip puts a card with a fresh image, 64 GiB large, into a machine that has
// never run: the data partition grows, the box fills itself from an index that breaks
// connections, the index is switched off, and pip installs over the network. Then it is
// cut from its power, and serves again what it had.
func TestImagePip(t *testing.T) {
	const size = 64 << 30
	card := newCard(t, size)
	ctx := patient(t, 15*time.Minute)
	upstream, address := startUpstream(t)
	settings := fmt.Sprintf("[upstream]\nurl = %q\n[sync]\nprojects = [\"cheeseplate[strong]\"]\n", address)
	if err := card.WriteFile(ctx, 1, "cheeseboard.toml", []byte(settings)); err != nil {
		t.Fatal(err)
	}
	board := guest.Board{Model: guest.Virt, Card: card, Slot: 2, Ports: []int{80}, Append: loud}
	p, err := board.PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	report(ctx, t, p, "first boot", firstAnswer(ctx, t, p))
	grown, err := p.Await(ctx, "the file system for data has grown")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", grown.Text)
	until(ctx, t, p, "/metrics", func(_ int, body string) bool {
		return number(body, "cheeseboard_store_files") >= plateFiles && number(body, "cheeseboard_store_partials") == 0
	})
	if err := upstream.Kill(); err != nil {
		t.Fatal(err)
	}
	pipInstalls(ctx, t, p.Address(80), "cheeseplate[strong]")
	p.Cut()
	table, err := card.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	if end := table[3].Start + table[3].Size; end < size-2<<20 || end > size {
		t.Errorf("the data partition ends at %d of %d", end, int64(size))
	}

	again, err := board.PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	report(ctx, t, again, "after a cut", firstAnswer(ctx, t, again))
	checkMemory(ctx, t, again)
	pipInstalls(ctx, t, again.Address(80), "cheeseplate[strong]")
}

// plateFiles are how many files pip needs for cheeseplate[strong].
const plateFiles = 8

// mostMemory is what a box that does nothing may take of the machine's, kernel included.
const mostMemory = 64 << 20

// checkMemory waits until the start is over, and no more than that of the machine's memory
// is in use.
func checkMemory(ctx context.Context, t *testing.T, p *guest.Powered) {
	t.Helper()
	var used, resident float64
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	until(ctx, t, p, "/metrics", func(_ int, body string) bool {
		all := number(body, "cheeseboard_memory_total_bytes")
		used, resident = all-number(body, "cheeseboard_memory_available_bytes"), number(body, "cheeseboard_resident_memory_bytes")
		return all > 0 && used <= mostMemory
	})
	t.Logf("memory in use: %.1f MiB of the machine's; %.1f MiB are resident in the program", used/(1<<20), resident/(1<<20))
}

// TestBoardPi3 boots the image on an emulated Raspberry Pi 3, by the device tree that is
// on the card, from its SD card and with its network at the USB.
func TestBoardPi3(t *testing.T) {
	wanted(t)
	card := newCard(t, 512<<20) // the controller wants a power of two
	ctx := patient(t, 15*time.Minute)
	// There the watchdog ends the machine when it is opened.
	p, err := guest.Board{Model: guest.Raspi3B, Card: card, Slot: 2, Ports: []int{80}, Append: loud + " cheeseboard.watchdog=off"}.PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	report(ctx, t, p, "raspi3b", firstAnswer(ctx, t, p))
	for _, want := range []string{`board="Raspberry Pi 3 Model B"`, "device=/dev/mmcblk0", "interface=usb0", "the file system for data has grown"} {
		if _, err := p.Await(ctx, want); err != nil {
			t.Error(err)
		}
	}
	if status, body := get(ctx, p.Address(80), "/"); status != http.StatusOK || !strings.Contains(body, "Cheeseboard") && !strings.Contains(body, "cheeseboard") {
		t.Errorf("its page is %d %.200s", status, body)
	}
}

// number is the value of a metric without labels; 0 where it is not told.
func number(metrics, name string) float64 {
	for line := range strings.Lines(metrics) {
		if text, found := strings.CutPrefix(line, name+" "); found {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err == nil {
				return v
			}
		}
	}
	return 0
}

// pipInstalls has the real pip install a requirement of cheeseplate from a box, into a
// folder of its own.
func pipInstalls(ctx context.Context, t *testing.T, address, requirement string) {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.CommandContext(ctx, "python3", "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input", "install",
		"--no-cache-dir", "--timeout", "120", "--retries", "20", "--target", folder, "--index-url", "http://"+address+"/simple/", requirement)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8"}
	cmd.WaitDelay = 10 * time.Second // python3 may be a script that starts another
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pip install: %v\n%s", err, out)
	}
	took := time.Since(began)
	look := exec.CommandContext(ctx, "python3", "-I", "-c",
		"import sys; sys.path.insert(0, sys.argv[1]); import cheddar, cheeseplate, parmesan; print(cheddar.__version__, parmesan.__version__)", folder)
	out, err := look.CombinedOutput()
	if err != nil || string(bytes.TrimSpace(out)) != "1.2.0 0.0.36" {
		t.Errorf("pip has installed %s (%v)", out, err)
	}
	t.Logf("pip installs %s in %s", requirement, took.Round(10*time.Millisecond))
}
