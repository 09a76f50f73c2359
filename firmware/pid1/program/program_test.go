package program

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// fake is a program that was started; play is what it does.
type fake struct {
	pid   int
	ended chan struct{}
	why   string
	once  sync.Once
	deaf  bool // heeds no SIGTERM and no SIGABRT
	heard []unix.Signal
}

func (f *fake) PID() int               { return f.pid }
func (f *fake) Ended() <-chan struct{} { return f.ended }
func (f *fake) Why() string            { return f.why }
func (f *fake) end(why string)         { f.once.Do(func() { f.why = why; close(f.ended) }) }
func (f *fake) Signal(s unix.Signal) {
	f.heard = append(f.heard, s)
	if !f.deaf || s == unix.SIGKILL {
		f.end("killed by " + unix.SignalName(s))
	}
}

// bench is a Keeper with the programs that it started.
type bench struct {
	*Keeper
	messages chan Message
	started  []*fake
	at       []time.Time
}

// pass lets time pass; false: the program has ended meanwhile.
func (f *fake) pass(d time.Duration) bool {
	select {
	case <-f.ended:
		return false
	case <-time.After(d):
		return true
	}
}

func run(t *testing.T, o Options, deaf bool, play func(b *bench, f *fake)) (*bench, func()) {
	b := &bench{messages: make(chan Message)}
	o.Messages = b.messages
	o.Start = func() (Running, error) {
		b.at = append(b.at, time.Now())
		if play == nil && len(b.at) > 1 { // what could be started once cannot be any more
			return nil, errors.New("start /slot/cheeseboard: input/output error")
		}
		f := &fake{pid: 100 + len(b.started), ended: make(chan struct{}), deaf: deaf}
		b.started = append(b.started, f)
		if play != nil {
			go play(b, f)
		}
		return f, nil
	}
	b.Keeper = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	return b, func() { cancel(); <-done }
}

// TestCrashLoop: pauses double, stop growing at a minute, and begin anew after a time
// that went well.
func TestCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := run(t, Options{}, false, func(b *bench, f *fake) {
			if f.pid == 108 {
				time.Sleep(DefaultSettled)
			}
			f.end("exit status 1: no")
		})
		time.Sleep(20 * time.Minute)
		stop()
		want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 601, 2, 4}
		for i, w := range want {
			if got := b.at[i+1].Sub(b.at[i]); got != w*time.Second {
				t.Errorf("the pause before start %d was %s, want %s", i+1, got, w*time.Second)
			}
		}
		s := b.State()
		if s.Restarts != len(b.at)-1 || s.Last != "exit status 1: no" {
			t.Errorf("%d restarts of %d starts, last %q", s.Restarts, len(b.at), s.Last)
		}
	})
}

// TestNoStart: what cannot even be started is tried again.
func TestNoStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := run(t, Options{}, false, nil)
		synctest.Wait()
		b.started[0].end("exit status 1")
		time.Sleep(10 * time.Second)
		stop()
		if len(b.at) < 3 || !strings.Contains(b.State().Last, "input/output error") {
			t.Errorf("%d starts, %q", len(b.at), b.State().Last)
		}
	})
}

// TestSignsOfLife: a program that says so lives on; one that stops saying so is ended,
// one that is deaf too, and started again.
func TestSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b, stop := run(t, Options{}, true, func(b *bench, f *fake) {
			if f.pid > 100 {
				return
			}
			b.messages <- Message{PID: f.pid, Ready: true, Status: "serving"}
			for range 20 {
				time.Sleep(30 * time.Second)
				b.messages <- Message{PID: f.pid, Alive: true}
				b.messages <- Message{PID: 1, Ready: true} // somebody else
			}
		})
		time.Sleep(10*time.Minute - time.Second)
		if s := b.State(); !s.Ready || s.Status != "serving" || s.Restarts != 0 || time.Since(s.Useful) > 30*time.Second {
			t.Errorf("it lives: %+v", s)
		}
		time.Sleep(3 * time.Minute)
		s := b.State()
		if len(b.started) != 2 || s.Ready || !strings.HasPrefix(s.Last, Watched) {
			t.Fatalf("%d starts, %+v", len(b.started), s)
		}
		if got := b.started[0].heard; len(got) != 2 || got[0] != unix.SIGABRT || got[1] != unix.SIGKILL {
			t.Errorf("it was sent %v", got)
		}
		if useful := s.Useful.Sub(began); useful != 10*time.Minute {
			t.Errorf("it was of use until %s", useful)
		}
		stop()
		if got := b.started[1].heard; len(got) != 2 || got[0] != unix.SIGTERM || got[1] != unix.SIGKILL {
			t.Errorf("at the end it was sent %v", got)
		}
	})
}

// TestSlowStart: it may take its time to come up as long as it gives signs, or asks for
// more, and no longer.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := run(t, Options{}, false, func(b *bench, f *fake) {
			for range 5 {
				if !f.pass(9 * time.Minute) {
					return
				}
				b.messages <- Message{PID: f.pid, Alive: true}
			}
			b.messages <- Message{PID: f.pid, Extend: 50 * time.Minute}
		})
		defer stop()
		time.Sleep(94 * time.Minute)
		if s := b.State(); s.Restarts != 0 || s.Last != "" {
			t.Errorf("after 94 minutes: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		if s := b.State(); !strings.Contains(s.Last, "did not come up") {
			t.Errorf("after 96 minutes: %+v", s)
		}
	})
}

// TestMoreTime: who asks for more time gets no less than all have, and is taken for one
// that will be of use.
func TestMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := run(t, Options{}, false, func(b *bench, f *fake) {
			for range 4 {
				if !f.pass(10 * time.Second) {
					return
				}
				b.messages <- Message{PID: f.pid, Extend: 30 * time.Second}
			}
		})
		defer stop()
		time.Sleep(DefaultStartPatience - time.Second)
		if s := b.State(); s.Last != "" || !s.Useful.Equal(s.Since.Add(40*time.Second)) {
			t.Errorf("it waits for its card: %+v", s)
		}
		time.Sleep(2 * time.Second)
		if s := b.State(); !strings.Contains(s.Last, "did not come up") || time.Since(s.Useful) < DefaultStartPatience {
			t.Errorf("after the time that all have: %+v", s)
		}
	})
}

func TestParseMessage(t *testing.T) {
	for text, want := range map[string]Message{
		"READY=1\nSTATUS=serving 3 projects":    {Ready: true, Status: "serving 3 projects"},
		"WATCHDOG=1":                            {Alive: true},
		"WATCHDOG=trigger":                      {Trigger: true},
		"STOPPING=1\n":                          {Stop: true},
		"EXTEND_TIMEOUT_USEC=5000000":           {Extend: 5 * time.Second},
		"EXTEND_TIMEOUT_USEC=99999999999999999": {Extend: time.Hour},
		"EXTEND_TIMEOUT_USEC=-1\nREADY=0\nX":    {},
		"":                                      {},
	} {
		if got := ParseMessage(text); got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if got := ParseMessage("STATUS=" + strings.Repeat("ä", 1000)); len(got.Status) != mostStatus {
		t.Errorf("a status of %d bytes", len(got.Status))
	}
}

// TestListen sends a message over a socket, and sees by whom it was sent.
func TestListen(t *testing.T) {
	path := t.TempDir() + "/notify"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages, err := Listen(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Sendto(fd, []byte("READY=1"), 0, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if m := <-messages; !m.Ready || m.PID != unix.Getpid() {
		t.Errorf("%+v", m)
	}
}
