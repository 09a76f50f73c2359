package budget

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type memory struct {
	raw   []byte
	saves int
	err   error
}

func (m *memory) Load() ([]byte, error) { return m.raw, nil }
func (m *memory) Save(b []byte) error {
	m.saves++
	m.raw = b
	return m.err
}

func make1(t *testing.T, o Options) *Budget {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := make1(t, Options{Rate: 25_000})
		begun := time.Now()
		for range 100 {
			if err := b.Spend(With(t.Context(), Background), 10_000); err != nil {
				t.Fatal(err)
			}
		}
		// A million bytes, of which a burst is free.
		want := time.Duration(float64(1_000_000-burst) / 25_000 * float64(time.Second))
		if took := time.Since(begun); took < want-time.Second || took > want+time.Second {
			t.Errorf("took %s, want %s", took, want)
		}
	})
}

func TestPeopleComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := make1(t, Options{})
		begun := time.Now()
		done := make(chan time.Duration)
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					done <- 0
					return
				case <-time.After(100 * time.Millisecond):
					if b.Spend(t.Context(), 1000) != nil {
						t.Error("a person is refused")
					}
				}
			}
		}()
		<-time.After(150 * time.Millisecond)
		if err := b.Spend(With(t.Context(), Background), 1000); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < patience || took > patience+time.Second {
			t.Errorf("what nobody waits for held still for %s, want %s", took, patience)
		}
		close(stop)
		<-done
		begun = time.Now()
		if err := b.Spend(With(t.Context(), Background), 1000); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > yield {
			t.Errorf("alone, it waits %s", took)
		}
	})
}

func TestCap(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	store := &memory{}
	options := Options{Cap: 1_000_000, Keeper: store, Now: func() time.Time { return now }}
	b := make1(t, options)
	background := With(t.Context(), Background)
	if err := b.Spend(background, 899_999); err != nil {
		t.Fatal(err)
	}
	var refusal *Refusal
	if err := b.Spend(background, 1); !errors.As(err, &refusal) || refusal.Until != time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("at nine tenths of the cap: %v", err)
	}
	if r := b.Admit(Person); r != nil {
		t.Errorf("a person is refused before the cap: %v", r)
	}
	if err := b.Spend(t.Context(), 100_000); !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, "cap") {
		t.Errorf("a person at the cap: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := make1(t, options)
	if s := again.Status(); s.Used != 1_000_000 || s.Month != "2026-11" || s.Waiting == "" {
		t.Errorf("after a restart: %+v", s)
	}
	now = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	if again.Admit(Background) == nil {
		t.Error("a clock that was set back frees the budget")
	}
	now = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	if again.Admit(Background) == nil {
		t.Error("a clock that was never set frees the budget")
	}
	now = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	if r := again.Admit(Background); r != nil {
		t.Errorf("a new month: %v", r)
	}
	now = time.Date(2036, 5, 1, 0, 0, 0, 0, time.UTC)
	if err := again.Spend(background, 900_000); err == nil {
		t.Error("the cap does not hold under a clock that is far ahead")
	}
	now = time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	if r := again.Admit(Background); r != nil {
		t.Errorf("the clock was ten years ahead, and is right again: %v", r)
	}
}

// TestCountsNeverTooLittle ends runs without Close, as a cut does.
func TestCountsNeverTooLittle(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	store := &memory{}
	var used int64
	for range 5 {
		b := make1(t, Options{Keeper: store, Now: func() time.Time { return now }})
		if got := b.Status().Used; got < used || got > used+lease*5 {
			t.Fatalf("%d bytes are counted of %d", got, used)
		}
		for range 100 {
			if err := b.Spend(t.Context(), 500_000); err != nil {
				t.Fatal(err)
			}
			used += 500_000
		}
	}
	if store.saves > 30 {
		t.Errorf("%d writes for %d MB", store.saves, used/1e6)
	}
	broken := make1(t, Options{Keeper: &memory{err: errors.New("no disk")}, Now: func() time.Time { return now }})
	var refusal *Refusal
	if err := broken.Spend(t.Context(), 1); !errors.As(err, &refusal) || refusal.Until.IsZero() {
		t.Errorf("a count that cannot be written gives %v", err)
	}
}

func TestWindowsApplyToWhatNobodyWaitsFor(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b := make1(t, Options{Windows: windows(t, "22:00-06:00"), Now: func() time.Time { return now }})
	if b.Admit(Person) != nil {
		t.Error("a person is refused by a window")
	}
	r := b.Admit(Background)
	if r == nil || r.Until.Hour() != 22 {
		t.Errorf("outside the window: %v", r)
	}
	now = now.Add(11 * time.Hour)
	if r := b.Admit(Background); r != nil {
		t.Errorf("inside the window: %v", r)
	}
}

func TestCanceled(t *testing.T) {
	b := make1(t, Options{Rate: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Spend(ctx, 2*burst); err == nil {
		t.Error("a wait is not ended by its context")
	}
}

// TestHold: what nobody waits for waits for a reason that is not the line's.
func TestHold(t *testing.T) {
	reason := "the clock is wrong"
	b, err := New(Options{Hold: func() string { return reason }})
	if err != nil {
		t.Fatal(err)
	}
	if r := b.Admit(Background); r == nil || r.Reason != reason || r.Until.IsZero() {
		t.Errorf("%+v", r)
	}
	if s := b.Status(); s.Waiting != reason {
		t.Errorf("%+v", s)
	}
	if r := b.Admit(Person); r != nil {
		t.Errorf("somebody who waits is refused: %v", r)
	}
	reason = ""
	if r := b.Admit(Background); r != nil {
		t.Errorf("it is held for nothing: %v", r)
	}
}
