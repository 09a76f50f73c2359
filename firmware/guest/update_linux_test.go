package guest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/update"
)

// updated is a board that is updated, and what is known of it from outside.
type updated struct {
	t        *testing.T
	ctx      context.Context
	firmware *guest.Firmware
	*guest.Powered
	pin    string
	cookie string
}

// startUpdatable starts a board with a card that was never started, with settings.
func startUpdatable(ctx context.Context, t *testing.T, settings ...string) *updated {
	t.Helper()
	card := newCard(t, 1<<30)
	if len(settings) > 0 {
		if err := card.WriteFile(ctx, 1, "cheeseboard.toml", []byte(strings.Join(settings, ""))); err != nil {
			t.Fatal(err)
		}
	}
	b := &updated{t: t, ctx: ctx, firmware: &guest.Firmware{Board: guest.Board{
		Model: guest.Virt, Card: card, Ports: []int{80},
		Devices: []string{"-device", "i6300esb", "-action", "watchdog=reset", "-device", "qemu-xhci"},
	}}}
	b.powerOn(b.firmware.PowerOn)
	line, err := b.Await(ctx, "administration: /admin/, passphrase ")
	if err != nil {
		t.Fatal(err)
	}
	b.pin = regexp.MustCompile(`passphrase (\S+)`).FindStringSubmatch(line.Text)[1]
	b.login()
	return b
}

func (b *updated) powerOn(start func(*testing.T) (*guest.Powered, error)) {
	b.t.Helper()
	p, err := start(b.t)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Powered, b.cookie = p, ""
}

// serves waits until the box answers, and gives what it says of its image.
func (b *updated) serves() machine.State {
	b.t.Helper()
	until(b.ctx, b.t, b.Powered, "/healthz", func(status int, _ string) bool { return status == http.StatusOK })
	b.login()
	return b.image(func(machine.State) bool { return true })
}

// ask sends a request as a browser in the LAN does.
func (b *updated) ask(ctx context.Context, method, path, kind string, body io.Reader, size int64) (int, string, *http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+b.Address(80)+path, body)
	if err != nil {
		return 0, "", nil, err
	}
	r.Host = "10.0.2.15" // what the box knows of itself
	r.ContentLength = size
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Cookie", b.cookie)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), resp, errors.Join(err, resp.Body.Close())
}

func (b *updated) login() {
	b.t.Helper()
	form := url.Values{"passphrase": {b.pin}}.Encode()
	status, body, resp, err := b.ask(b.ctx, http.MethodPost, "/admin/login", "application/x-www-form-urlencoded", strings.NewReader(form), int64(len(form)))
	if err != nil || status != http.StatusSeeOther || len(resp.Cookies()) != 1 {
		b.t.Fatalf("log in: %d %s, %v", status, body, err)
	}
	b.cookie = resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
}

// image waits until what the box says of its image is as wanted.
func (b *updated) image(right func(machine.State) bool) machine.State {
	b.t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		var all struct{ Machine *machine.State }
		status, body, _, err := b.ask(b.ctx, http.MethodGet, "/admin/state", "", nil, 0)
		if err == nil && status == http.StatusOK {
			if err = json.Unmarshal([]byte(body), &all); err == nil && all.Machine != nil && right(*all.Machine) {
				return *all.Machine
			}
			last = fmt.Sprintf("%+v", all.Machine)
		}
		if b.Off() {
			b.t.Fatal("the board went off while it was asked")
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("the board never says what it should of its image; the last was %s, %v", last, err)
		case <-tick.C:
		}
	}
}

// put sends a bundle, and gives the last line of the answer.
func (b *updated) put(bundle []byte) (status int, last string) {
	b.t.Helper()
	status, body, _, err := b.ask(b.ctx, http.MethodPut, "/admin/update", "application/octet-stream", bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		b.t.Fatalf("send the bundle: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(body), "\n")
	return status, lines[len(lines)-1]
}

// install sends a bundle that is good, and waits until the box starts it.
func (b *updated) install(path string) {
	b.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	began := time.Now()
	if status, last := b.put(raw); status != http.StatusOK || !strings.Contains(last, "is installed. The box restarts") {
		b.t.Fatalf("install: %d %s", status, last)
	}
	b.t.Logf("installed in %s", time.Since(began).Round(100*time.Millisecond))
	b.tries()
}

// tries waits until the box has gone down for a trial, and starts it.
func (b *updated) tries() {
	b.t.Helper()
	if err := b.Wait(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	if !strings.Contains(b.Console(), "Restarting system with command '"+update.TryCommand+"'") {
		b.t.Fatal("the box did not restart for a trial")
	}
	ended := b.Powered
	b.powerOn(func(t *testing.T) (*guest.Powered, error) { return b.firmware.Restart(t, ended) })
}

// rolledBack waits until a trial has ended badly, and wants the slot before to tell so.
func (b *updated) rolledBack(version, reason string) {
	b.t.Helper()
	began := time.Now()
	if err := b.Wait(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	ended := b.Powered
	b.powerOn(func(t *testing.T) (*guest.Powered, error) { return b.firmware.Restart(t, ended) })
	b.serves()
	s := b.image(func(s machine.State) bool { return s.Refused != nil })
	if s.Trial != nil || s.Refused.Version != version || !strings.Contains(s.Refused.Reason, reason) {
		b.t.Fatalf("after the rollback: %+v, refused %+v; want %s because of %q", s, s.Refused, version, reason)
	}
	b.t.Logf("%s ended after %s and is rolled back to %s in slot %d: %s", version, time.Since(began).Round(time.Second), s.Version, s.Slot, s.Refused.Reason)
}

// committed waits until a trial has ended well. Then a cut changes nothing any more.
func (b *updated) committed(version string, slot int) {
	b.t.Helper()
	began := time.Now()
	s := b.serves()
	if s.Trial == nil || s.Version != version || s.Slot != slot {
		b.t.Fatalf("%s in slot %d is not on trial: %+v", version, slot, s)
	}
	b.image(func(s machine.State) bool {
		return s.Trial == nil && s.Accepted != nil && s.Accepted.Version == version
	})
	b.t.Logf("%s is kept in slot %d, %s after its start", version, slot, time.Since(began).Round(time.Second))
	b.Cut()
	b.powerOn(b.firmware.PowerOn)
	if s := b.serves(); s.Trial != nil || s.Version != version || s.Slot != slot || s.Refused != nil {
		b.t.Fatalf("after a cut: %+v", s)
	}
}

// TestImageUpdate is the short form: a version that hits the wall is rolled back, a good
// one is kept.
func TestImageUpdate(t *testing.T) {
	p := newPress(t)
	ctx := patient(t, 15*time.Minute)
	bad := p.bundle(ctx, t, slot{version: "99.1", append: "rdinit=/nothing"})
	good := p.bundle(ctx, t, slot{version: "99.2"})
	b := startUpdatable(ctx, t)
	before := b.serves()
	b.install(bad)
	b.rolledBack("99.1.0", "never came up")
	if s := b.serves(); s.Version != before.Version || s.Slot != before.Slot {
		t.Fatalf("rolled back to %+v", s)
	}
	b.install(good)
	b.committed("99.2.0", 3)
}

// long leaves out what takes long.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("CHEESEBOARD_TEST_GUEST") == "" {
		t.Skip("only with CHEESEBOARD_TEST_GUEST=1: it takes a quarter of an hour")
	}
}

// TestImageRefuses sends everything that must not be taken.
func TestImageRefuses(t *testing.T) {
	long(t)
	p := newPress(t)
	ctx := patient(t, 20*time.Minute)
	stranger, _, err := update.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	read := func(s slot) []byte {
		raw, err := os.ReadFile(p.bundle(ctx, t, s))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := read(slot{version: "99.2"})
	corrupt := bytes.Clone(good)
	corrupt[len(corrupt)-3<<20] ^= 1
	manifest := bytes.Clone(good)
	manifest[40] ^= 1
	b := startUpdatable(ctx, t)
	for name, test := range map[string]struct {
		bundle []byte
		want   string
	}{
		"another key":      {read(slot{version: "99.3", key: stranger}), "not signed by anybody"},
		"changed manifest": {manifest, "not signed by anybody"},
		"wrong board":      {read(slot{version: "99.4", release: func(r *update.Release) { r.Board = "toaster" }}), "is for toaster"},
		"downgrade":        {read(slot{version: "0.0.0.1"}), "is not newer than"},
		"truncated":        {good[:len(good)/2], "ends too early"},
		"corrupt":          {corrupt, "fetch it anew"},
		"no bundle":        {[]byte("hello, I am a firmware"), "no bundle of Cheeseboard"},
	} {
		status, last := b.put(test.bundle)
		if status != http.StatusUnprocessableEntity || !strings.Contains(last, "Nothing was installed") || !strings.Contains(last, test.want) {
			t.Errorf("%s: %d %s", name, status, last)
			continue
		}
		t.Logf("%s: %s", name, last)
	}
	if s := b.image(func(machine.State) bool { return true }); s.Waiting != nil || s.Refused != nil {
		t.Errorf("after all that: %+v", s)
	}
	b.Cut()
	b.powerOn(b.firmware.PowerOn)
	if s := b.serves(); s.Slot != 2 {
		t.Errorf("after a cut: %+v", s)
	}
}

// TestImageTrials tries versions that are of no use, each in its way.
func TestImageTrials(t *testing.T) {
	long(t)
	p := newPress(t)
	for name, test := range map[string]struct {
		slot
		reason string
	}{
		"panic":      {slot{version: "99.1", append: "rdinit=/nothing"}, "never came up"},
		"hang":       {slot{version: "99.2", init: "hanging"}, "never judged"},
		"crash loop": {slot{version: "99.3", program: "crashing"}, "the program ended 3 times"},
		"unhealthy":  {slot{version: "99.4", program: "sick"}, "the metadata cannot be read by this release"},
		"no network": {slot{version: "99.5", append: "initcall_blacklist=virtio_net_driver_init"}, "no network"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := patient(t, 20*time.Minute)
			bundle := p.bundle(ctx, t, test.slot)
			b := startUpdatable(ctx, t)
			b.install(bundle)
			b.rolledBack(test.version+".0", test.reason)
		})
	}
}

// TestImageStick takes a version from a stick, and then one more over the network, into
// the slot that was first.
func TestImageStick(t *testing.T) {
	long(t)
	p := newPress(t)
	ctx := patient(t, 30*time.Minute)
	first, second := p.bundle(ctx, t, slot{version: "99.6"}), p.bundle(ctx, t, slot{version: "99.7"})
	b := startUpdatable(ctx, t)
	b.plug(first)
	b.tries()
	b.committed("99.6.0", 3)
	b.install(second)
	b.committed("99.7.0", 2)
}

// cuts is how many moments of an installation are cut.
const cuts = 20

// TestImageCuts takes the current away at 20 moments of an installation, the last when
// it was read back and is about to be tried: the box always starts what it ran.
func TestImageCuts(t *testing.T) {
	long(t)
	p := newPress(t)
	ctx := patient(t, time.Hour)
	raw, err := os.ReadFile(p.bundle(ctx, t, slot{version: "99.2"}))
	if err != nil {
		t.Fatal(err)
	}
	b := startUpdatable(ctx, t)
	for i := range cuts {
		at := b.cutInstall(raw, i)
		b.powerOn(b.firmware.PowerOn)
		s := b.serves()
		if s.Slot != 2 || s.Trial != nil || s.NoUpdate != "" {
			t.Fatalf("cut %d, %s: %+v", i, at, s)
		}
		t.Logf("cut %d, %s: it runs %s from slot %d; waiting %v, refused %v", i, at, s.Version, s.Slot, s.Waiting, s.Refused)
	}
	b.install(p.bundle(ctx, t, slot{version: "99.3"}))
	b.committed("99.3.0", 3)
}

// cutInstall begins to send a bundle, and takes the current away: at one of 16 places
// in it, or at one of 4 moments while it is read back.
func (b *updated) cutInstall(raw []byte, number int) (moment string) {
	b.t.Helper()
	const sent = 16
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	body, feed := io.Pipe()
	defer func() { _ = feed.Close() }() // whoever still reads has ended
	if number < sent {
		part := len(raw) * (number + 1) / (sent + 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _, _, _ = b.ask(ctx, http.MethodPut, "/admin/update", "", body, int64(len(raw))) // it is cut
		}()
		_, _ = feed.Write(raw[:part]) // all of it is taken: what follows never comes
		b.Cut()
		stop()
		_ = feed.Close()
		<-done
		return fmt.Sprintf("%d of %d MB sent", part>>20, len(raw)>>20)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+b.Address(80)+"/admin/update", bytes.NewReader(raw))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Host = "10.0.2.15"
	r.Header.Set("Cookie", b.cookie)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it is cut
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n <= number-sent && lines.Scan() && !strings.Contains(lines.Text(), "installed"); n++ {
		moment = lines.Text()
	}
	b.Cut()
	return "after " + moment
}
