package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cheeseboard/storage"
	"cheeseboard/syncer/link"
)

const (
	lineLog = "line"
	// recordEvery is the time between two writes of what became of the line: a
	// line that flaps must not wear the card out. A power cut loses that much.
	recordEvery = time.Minute
	// recordKeep is how many writes are kept: at one an hour, more than a year.
	recordKeep = 10_000
	// recordPending is how many events wait in memory where the disk takes none: what one
	// write can hold.
	recordPending = 500
)

// lineRecord keeps what became of the line in the store.
type lineRecord struct {
	store *storage.Store
	log   *slog.Logger
	// doubtful tells whether the clock is not to be relied on now; nil: it is.
	doubtful func() bool

	mu      sync.Mutex
	pending []link.Event
}

// Record takes an event; it is written with others.
func (r *lineRecord) Record(e link.Event) {
	e.Guessed = r.inDoubt()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, e)
	r.pending = r.pending[max(0, len(r.pending)-recordPending):]
}

// run writes now and then, until ctx ends.
func (r *lineRecord) run(ctx context.Context) {
	ticker := time.NewTicker(recordEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := r.flush(); err != nil {
				r.log.Warn("what became of the line could not be written", "reason", err)
			}
		}
	}
}

// flush writes what is pending.
func (r *lineRecord) flush() error {
	r.mu.Lock()
	events := r.pending
	r.pending = nil
	r.mu.Unlock()
	if len(events) == 0 {
		return nil
	}
	raw, err := json.Marshal(events)
	if err == nil {
		err = r.store.Append(lineLog, raw, recordKeep)
	}
	if err != nil {
		r.mu.Lock()
		r.pending = append(events, r.pending...)
		r.mu.Unlock()
	}
	return err
}

func (r *lineRecord) inDoubt() bool { return r.doubtful != nil && r.doubtful() }

// recent gives the last n events, the oldest first. Those of a time when the clock was
// wrong are stamped anew, where it is known by now.
func (r *lineRecord) recent(n int) ([]link.Event, error) {
	events := []link.Event{}
	err := r.store.Log(lineLog, func(raw []byte) bool {
		var some []link.Event
		if json.Unmarshal(raw, &some) == nil {
			events = append(events, some...)
			events = events[max(0, len(events)-n):]
		}
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	events = append(events, r.pending...)
	events = events[max(0, len(events)-n):]
	if slices.ContainsFunc(events, func(e link.Event) bool { return e.Guessed }) {
		now := link.ReadBoot("/").Now(time.Now())
		now.Guessed = r.inDoubt()
		link.Restamp(events, now)
	}
	return events, err
}
