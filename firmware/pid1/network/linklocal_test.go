package network

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wireOf is an Ethernet on which others are.
type wireOf struct {
	heard chan ARP
	mu    sync.Mutex
	sent  []ARP
	// answer is what others say to a message, if anything.
	answer func(ARP) *ARP
}

func (w *wireOf) Heard() <-chan ARP { return w.heard }
func (w *wireOf) Send(m ARP) error {
	w.mu.Lock()
	w.sent = append(w.sent, m)
	w.mu.Unlock()
	if w.answer != nil {
		if a := w.answer(m); a != nil {
			go func() { w.heard <- *a }()
		}
	}
	return nil
}

func (w *wireOf) count(of func(ARP) bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.sent {
		if of(m) {
			n++
		}
	}
	return n
}

var (
	mine   = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	theirs = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

// claiming runs a claimer; taken is what its interface has.
func claiming(ctx context.Context, w *wireOf) (taken func() netip.Addr, done chan struct{}) {
	var mu sync.Mutex
	var now netip.Addr
	c := &claimer{
		ether: w, mac: mine, log: slog.New(slog.DiscardHandler),
		take: func(p netip.Prefix) error { mu.Lock(); defer mu.Unlock(); now = p.Addr(); return nil },
		drop: func() { mu.Lock(); defer mu.Unlock(); now = netip.Addr{} },
	}
	done = make(chan struct{})
	go func() { defer close(done); c.run(ctx) }()
	return func() netip.Addr { mu.Lock(); defer mu.Unlock(); return now }, done
}

// TestClaim: three probes, then the address, then two announcements; given back at the end.
func TestClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wireOf{heard: make(chan ARP)}
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		taken, done := claiming(ctx, w)
		for !taken().IsValid() {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 4*time.Second || took > 7100*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		time.Sleep(time.Minute)
		want := candidate(mine, 0)
		if taken() != want || !linkLocal.Contains(want) {
			t.Errorf("taken is %s, want %s", taken(), want)
		}
		probing := func(m ARP) bool { return m.Request && m.Sender.IsUnspecified() && m.Target == want }
		telling := func(m ARP) bool { return m.Request && m.Sender == want && m.Target == want }
		if w.count(probing) != probes || w.count(telling) != announces {
			t.Errorf("%d probes, %d announcements", w.count(probing), w.count(telling))
		}
		cancel()
		<-done
		if taken().IsValid() {
			t.Error("it is not given back")
		}
	})
}

// TestClash: an address that somebody has, or probes for at the same time, is left to
// them.
func TestClash(t *testing.T) {
	first, second := candidate(mine, 0), candidate(mine, 1)
	for name, answer := range map[string]func(ARP) *ARP{
		"they have it": func(m ARP) *ARP {
			if m.Target == first {
				return &ARP{MAC: theirs, Sender: first, Target: netip.IPv4Unspecified()}
			}
			return nil
		},
		"they want it": func(m ARP) *ARP {
			if m.Target == first {
				return &ARP{Request: true, MAC: theirs, Sender: netip.IPv4Unspecified(), Target: first}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				taken, done := claiming(ctx, &wireOf{heard: make(chan ARP), answer: answer})
				time.Sleep(time.Minute)
				if taken() != second {
					t.Errorf("taken is %s, want %s", taken(), second)
				}
				cancel()
				<-done
			})
		})
	}
}

// TestDefend: one who takes our address is told once; one who insists gets it.
func TestDefend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wireOf{heard: make(chan ARP)}
		ctx, cancel := context.WithCancel(t.Context())
		taken, done := claiming(ctx, w)
		time.Sleep(time.Minute)
		first := taken()
		before := w.count(func(ARP) bool { return true })
		w.heard <- ARP{Request: true, MAC: mine, Sender: first, Target: first} // our own, come back
		w.heard <- ARP{Request: true, MAC: theirs, Sender: first, Target: netip.MustParseAddr("169.254.1.1")}
		synctest.Wait()
		if taken() != first || w.count(func(ARP) bool { return true }) != before+1 {
			t.Errorf("after one clash it has %s, and said %d times no", taken(), w.count(func(ARP) bool { return true })-before)
		}
		time.Sleep(time.Minute)
		w.heard <- ARP{Request: true, MAC: theirs, Sender: first, Target: first}
		time.Sleep(5 * time.Second)
		w.heard <- ARP{Request: true, MAC: theirs, Sender: first, Target: first}
		time.Sleep(time.Minute)
		if taken() == first || !taken().IsValid() {
			t.Errorf("somebody insists, and it has %s", taken())
		}
		cancel()
		<-done
	})
}

// TestManyClashes: in a network where all is taken it does not flood the wire.
func TestManyClashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wireOf{heard: make(chan ARP), answer: func(m ARP) *ARP { return &ARP{MAC: theirs, Sender: m.Target} }}
		ctx, cancel := context.WithCancel(t.Context())
		_, done := claiming(ctx, w)
		time.Sleep(time.Hour)
		if n := w.count(func(ARP) bool { return true }); n < 50 || n > 75 {
			t.Errorf("%d probes in an hour", n)
		}
		cancel()
		<-done
	})
}

func TestCandidate(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for n := range 1000 {
		a := candidate(mine, n)
		if a != candidate(mine, n) {
			t.Fatal("not the same at each start")
		}
		b := a.As4()
		if b[0] != 169 || b[1] != 254 || b[2] == 0 || b[2] == 255 {
			t.Fatalf("%s may not be used", a)
		}
		seen[a] = true
	}
	if len(seen) < 950 || candidate(mine, 0) == candidate(theirs, 0) {
		t.Errorf("%d of 1000 differ", len(seen))
	}
}
