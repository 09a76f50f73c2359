package throttle

import (
	"fmt"
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	th := New(Options{Together: 1000, Now: func() time.Time { return now }})
	const one, other = "192.0.2.1:4000", "192.0.2.2:4000"
	var waits []time.Duration
	for range 14 {
		waits = append(waits, th.Wait(one))
		th.Failed(one)
	}
	for i, want := range []time.Duration{0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300} {
		if waits[i] != want*time.Second {
			t.Errorf("after %d failures: %v, want %v s", i, waits[i], int(want))
		}
	}
	if th.Wait("192.0.2.1:9") == 0 || th.Wait("[::ffff:192.0.2.1]:9") == 0 {
		t.Error("another port makes another client")
	}
	if th.Wait(other) != 0 {
		t.Error("one client slows another down")
	}
	now = now.Add(5 * time.Minute)
	if th.Wait(one) != 0 {
		t.Error("the wait does not end")
	}
	th.Failed(one)
	if th.Wait(one) != 5*time.Minute {
		t.Error("what was before is forgotten by waiting")
	}
	th.Passed(one)
	if th.Wait(one) != 0 {
		t.Error("who has passed has to wait")
	}
}

// TestTogether: many addresses are slowed down as one, and a /64 is one.
func TestTogether(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	th := New(Options{Together: 30, Now: func() time.Time { return now }})
	for i := range 60 {
		th.Failed(fmt.Sprintf("192.0.2.%d:80", i))
	}
	if w := th.Wait("198.51.100.1:80"); w < 50*time.Second || w > 70*time.Second {
		t.Errorf("after twice the failures that are free: %v", w)
	}
	now = now.Add(2 * time.Minute)
	if w := th.Wait("198.51.100.1:80"); w != 0 {
		t.Errorf("it does not end: %v", w)
	}
	for i := range 6 {
		th.Failed(fmt.Sprintf("[2001:db8::%x]:80", i))
	}
	if th.Wait("[2001:db8::ffff]:80") == 0 || th.Wait("[2001:db8:0:1::1]:80") != 0 {
		t.Error("a network of IPv6 is not one client")
	}
}

// TestThrottleIsBounded: any number of addresses takes no more memory.
func TestThrottleIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	th := New(Options{Together: 1 << 30, Now: func() time.Time { return now }})
	for i := range 3 * mostAddresses {
		th.Failed(fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
	}
	if len(th.known) > mostAddresses+1 {
		t.Errorf("%d addresses are remembered", len(th.known))
	}
	now = now.Add(time.Hour)
	th.Failed("192.0.2.1:80")
	if len(th.known) > 2 {
		t.Errorf("%d addresses are remembered after an hour", len(th.known))
	}
}
