package storage

import (
	"sync"
	"testing"
)

// TestLostWhileForsaken loses files one after the other while the list of what was
// lost is written anew all the time, as it is when something else came again: each
// of them stays on it.
func TestLostWhileForsaken(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	sh := fill(t, "a", 12, 100)
	bringAll(t, s, sh)
	over := make(chan struct{})
	var forsaking sync.WaitGroup
	forsaking.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if err := s.Forsake(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for _, ref := range sh.refs {
		if err := s.blobs.Remove(ref.Digest); err != nil {
			t.Fatal(err)
		}
		if err := s.lose(ref.Name, ref.Digest); err != nil {
			t.Fatal(err)
		}
	}
	close(over)
	forsaking.Wait()
	lost, err := s.Lost()
	if err != nil || len(lost) != len(sh.refs) {
		t.Errorf("%d files are lost, and %d of them on the list (%v)", len(sh.refs), len(lost), err)
	}
}
