package guest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
)

// TestCrashLoop boots a box whose program ends as soon as it was started: it is started
// again after pauses that grow, its own words stand on the console, the reason is
// remembered over a restart, and in the end the machine is restarted, for that may help.
func TestCrashLoop(t *testing.T) {
	a := newAppliance(t, "cheeseboard/firmware/guest/testdata/slots/crashing")
	ctx := patient(t, 8*time.Minute)
	card := a.copyCard(t, 0)
	// Its own time flies while the machine waits.
	p := a.boot(t, guest.Lab{Card: card, OwnTime: true})
	const reason = "exit status 3: this release cannot read its own settings"
	var last time.Duration
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60} {
		line, err := p.Await(ctx, `reason="`+reason+`" "again in"=`+(pause*time.Second).String())
		if err != nil {
			t.Fatal(err)
		}
		at := stampIn(t, line)
		t.Log(line.Text)
		if last != 0 && at-last < pause*time.Second/2 {
			t.Errorf("it was started again %s after the time before", at-last)
		}
		last = at
	}
	down, err := p.Await(ctx, "the machine goes down")
	if err != nil {
		t.Fatal(err)
	}
	if at := stampIn(t, down); at < 30*time.Minute || at > 35*time.Minute || !strings.Contains(down.Text, "of no use for 30m") {
		t.Errorf("after %s: %s", at, down.Text)
	}
	if err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if code, said := checkData(ctx, t, card, "-f", "-n"); code != 0 {
		t.Errorf("what is left behind is not sound: %d\n%s", code, said)
	}
	again := a.boot(t, guest.Lab{Card: card})
	for _, text := range []string{"why init restarted the machine", reason} {
		if _, err := again.Await(ctx, text); err != nil {
			t.Error(err)
		}
	}
}

func stampIn(t *testing.T, line guest.Line) time.Duration {
	t.Helper()
	match := stamp.FindStringSubmatch(line.Text)
	if match == nil {
		t.Fatalf("there is no time in %q", line.Text)
	}
	at, err := time.ParseDuration(match[1] + "s")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestWatched lets the watchdog of the hardware watch a box for ten minutes: it does not
// bite while the program is of use, and init tells how it can be reached by a link-local
// address, since the cable leads to nobody.
func TestWatched(t *testing.T) {
	a := newAppliance(t, product, "i6300esb")
	ctx := patient(t, 8*time.Minute)
	p := a.boot(t, guest.Lab{
		Card: a.copyCard(t, 1<<30), OwnTime: true,
		Network: []string{"-netdev", "hubport,id=lan,hubid=0", "-device", "virtio-net-pci,netdev=lan,romfile="},
		Devices: []string{"-device", "i6300esb", "-action", "watchdog=none"},
	})
	for _, text := range []string{"the hardware watchdog is armed", "http://169.254."} {
		line, err := p.Await(ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(line.Text)
	}
	if _, err := p.Await(ctx, "the program is ready"); err != nil {
		t.Fatal(err)
	}
	asleep, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	for {
		select {
		case e := <-p.QMP.Events:
			if e.Name == "WATCHDOG" {
				t.Fatal("it bites a box that is well")
			}
		case <-asleep.Done():
			return
		}
	}
}
