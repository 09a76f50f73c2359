package app

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/httpd/throttle"
)

// TestPINsAreTriedInTurn: who guesses at several ports at once is slowed down as at one.
func TestPINsAreTriedInTurn(t *testing.T) {
	c := config.Default()
	c.Data = t.TempDir()
	a, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := a.choosePassphrase("a right one"); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	guesses := throttle.New(throttle.Options{Free: 2, Now: func() time.Time { return now }})
	var tried atomic.Int32
	var ports sync.WaitGroup
	for range 6 {
		ports.Go(func() {
			right, wait, err := a.checkPIN(guesses, "a wrong one")
			if right || err != nil {
				t.Errorf("%t %v", right, err)
			}
			if wait == 0 {
				tried.Add(1)
			}
		})
	}
	ports.Wait()
	if n := tried.Load(); n != 3 { // two are free, and the third has the next wait
		t.Errorf("%d wrong PINs were tried at once", n)
	}
}
