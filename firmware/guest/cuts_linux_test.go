package guest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
	"cheeseboard/firmware/machine"
	"cheeseboard/syncer/upstreamtest"
)

// ack is what a box has told at a moment: so many files are here.
type ack struct {
	log   int64 // bytes of the log of writes, when the answer had come
	files int
}

// day is what was written to a card, and what the box has told meanwhile.
type day struct {
	before guest.Card // as it was when the log begins
	log    *guest.WriteLog
	acks   []ack
	from   int // the first entry of the log after which a cut is of interest
}

// TestPowerCuts takes the current away from a box: at its first boot, while it grows its
// data partition, makes its identity and syncs; while it makes a backup; while it installs
// an update; and while that is on trial, until it is kept. Of what was written since the last flush chance
// loses half. It always boots again, its file system and its store are sound, and what
// it has told is there.
func TestPowerCuts(t *testing.T) {
	long(t)
	verifier := buildProgram(t)[program]
	t.Run("first day", func(t *testing.T) {
		day, backup := recordFirstDay(t)
		day.cut(t, verifier, cutsOr(50))
		backup.cut(t, verifier, cutsOr(10))
	})
	t.Run("update", func(t *testing.T) {
		for _, d := range recordUpdate(t) {
			d.cut(t, verifier, cutsOr(20))
		}
	})
}

// cut takes the current away at so many moments of a day.
func (d day) cut(t *testing.T, verifier string, cuts int) {
	chance := rand.New(rand.NewPCG(1, 7))
	at := make([]int, cuts)
	for i := range at {
		at[i] = d.from + 1 + chance.IntN(d.log.Len()-d.from)
	}
	slices.Sort(at)
	t.Logf("%d writes with %d flushes, %d times told how much is here; cuts after %d", d.log.Len(), d.log.Flushes(), len(d.acks), at)
	for _, cut := range at {
		card, err := d.before.Copy(t.Context(), filepath.Join(t.TempDir(), "cut.img"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.log.Replay(card, cut, chance); err != nil {
			t.Fatal(err)
		}
		promised := 0
		for _, a := range d.acks {
			if d.log.Before(a.log) <= cut {
				promised = max(promised, a.files)
			}
		}
		t.Run(fmt.Sprint(cut), func(t *testing.T) { bootsAfter(t, verifier, card, promised) })
		if err := os.Remove(string(card)); err != nil {
			t.Error(err)
		}
	}
}

// newLog makes the file of a log.
func newLog(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "writes.log")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// readLog reads the log of a machine, after it was switched off in a manner that tells
// the log how long it is.
func readLog(ctx context.Context, t *testing.T, box *guest.Powered, path string) *guest.WriteLog {
	t.Helper()
	if err := box.QMP.Do("quit", nil, nil); err != nil {
		t.Log(err) // it may be gone before it answers
	}
	if err := box.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	log, err := guest.ReadWriteLog(path)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// recordUpdate has a box install an update, and then try and keep it.
func recordUpdate(t *testing.T) []day {
	t.Helper()
	p := newPress(t)
	ctx := patient(t, 12*time.Minute)
	raw, err := os.ReadFile(p.bundle(ctx, t, slot{version: "99.2"}))
	if err != nil {
		t.Fatal(err)
	}
	b := startUpdatable(ctx, t)
	b.serves()
	b.Cut()
	install := day{before: b.copyCard("before the install")}
	path := newLog(t)
	b.firmware.Drive = guest.LogDrive(path)
	b.powerOn(b.firmware.PowerOn)
	b.serves()
	if status, last := b.put(raw); status != http.StatusOK {
		t.Fatalf("install: %d %s", status, last)
	}
	if err := b.Wait(ctx); err != nil { // it restarts
		t.Fatal(err)
	}
	if install.log, err = guest.ReadWriteLog(path); err != nil {
		t.Fatal(err)
	}
	trial := day{before: b.copyCard("before the trial")}
	path = newLog(t)
	b.firmware.Drive = guest.LogDrive(path)
	ended := b.Powered
	b.powerOn(func(t *testing.T) (*guest.Powered, error) { return b.firmware.Restart(t, ended) })
	b.serves()
	b.image(func(s machine.State) bool { return s.Trial == nil && s.Accepted != nil })
	trial.log = readLog(ctx, t, b.Powered, path)
	return []day{install, trial}
}

// copyCard copies the card of a board that is off.
func (b *updated) copyCard(name string) guest.Card {
	b.t.Helper()
	card, err := b.firmware.Card.Copy(b.ctx, filepath.Join(b.t.TempDir(), name), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return card
}

// recordFirstDay boots a new card, and has the box sync until all is here, and make a
// backup of its metadata. The second is the end of the same day.
func recordFirstDay(t *testing.T) (d, backup day) {
	t.Helper()
	index, projects := upstreamtest.NewIndex(), []string(nil)
	for i := range 40 {
		name := fmt.Sprintf("parcel-%02d", i)
		for v := range 3 {
			if _, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: fmt.Sprintf("1.%d", v), Payload: 500 << (i % 10)}); err != nil {
				t.Fatal(err)
			}
		}
		projects = append(projects, strconv.Quote(name))
	}
	upstream := upstreamtest.NewServer(index)
	upstream.Dialect.RelativeURLs = true // it has another address from inside
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	card := newCard(t, 2<<30)
	settings := fmt.Sprintf("[sync]\nprojects = [%s]\nlatest = 3\n[upstream]\nurl = %q\n[clock]\nverify = \"never\"\n",
		strings.Join(projects, ", "), insideURL(upstream))
	if err := card.WriteFile(t.Context(), 1, "cheeseboard.toml", []byte(settings)); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.before, err = card.Copy(t.Context(), filepath.Join(t.TempDir(), "pristine.img"), 0); err != nil {
		t.Fatal(err)
	}
	path := newLog(t)
	box, err := guest.Board{Model: guest.Virt, Card: card, Slot: 2, Drive: guest.LogDrive(path), Ports: []int{80}}.PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	ctx := patient(t, 5*time.Minute)
	const made = "the backup in the data folder was made anew" // when all is here
	for !strings.Contains(box.Console(), made) {
		if ctx.Err() != nil || box.Off() {
			t.Fatalf("not all has come (%v); the box said:\n%s", ctx.Err(), box.Console())
		}
		files, _ := filesHere(ctx, box)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		d.acks = append(d.acks, ack{info.Size(), files})
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	d.log = readLog(ctx, t, box, path)
	backup = d
	backup.from = d.log.Len() * 9 / 10 // it comes last
	return d, backup
}

// insideURL is where a guest reaches an upstream that runs here: 10.0.2.2 is this
// machine, in the network that qemu makes.
func insideURL(u *upstreamtest.Server) string {
	return strings.Replace(u.IndexURL(), "127.0.0.1", "10.0.2.2", 1)
}

// filesHere asks a box how many files it has.
func filesHere(ctx context.Context, box *guest.Powered) (files int, told bool) {
	status, body := get(ctx, box.Address(80), "/metrics")
	return int(number(body, "cheeseboard_store_files")), status == http.StatusOK
}

// bootsAfter boots a card, and sees that what was promised is there, and sound.
func bootsAfter(t *testing.T, verifier string, card guest.Card, promised int) {
	box, err := (&guest.Firmware{Board: guest.Board{Model: guest.Virt, Card: card, Ports: []int{80}}}).PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	ctx := patient(t, 3*time.Minute)
	until(ctx, t, box, "/metrics", func(status int, _ string) bool { return status == http.StatusOK })
	files, told := filesHere(ctx, box)
	if !told {
		t.Fatal("the box came up, and is gone again")
	}
	if files < promised {
		t.Errorf("%d files are here, and %d were", files, promised)
	}
	box.Cut()
	data := filepath.Join(t.TempDir(), "data")
	if err := card.Extract(ctx, 4, data); err != nil {
		t.Fatal(err)
	}
	// The journal is played back, files that were open when they were deleted are cleared
	// away, as the kernel does when it mounts; anything more would be a fault.
	if out, err := exec.Command("e2fsck", "-p", data).CombinedOutput(); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.ExitCode() != 1 {
			t.Errorf("play the journal back: %v\n%s", err, out)
		}
	}
	if out, err := exec.Command("e2fsck", "-f", "-n", data).CombinedOutput(); err != nil {
		t.Errorf("the file system is not sound: %v\n%s", err, out)
	}
	folder := t.TempDir()
	if out, err := exec.Command("debugfs", "-R", "rdump / "+folder, data).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	verify := exec.Command(verifier, "verify", "--data", filepath.Join(folder, "cheeseboard"))
	verify.Dir = folder
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("the store is not sound: %v\n%s", err, out)
	}
}
