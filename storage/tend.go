package storage

import (
	"context"
	"errors"
	"sync"
	"time"

	"cheeseboard/storage/durable"
)

// What the store does by itself, and how often.
const (
	tendEvery  = time.Minute
	usesEvery  = 6 * time.Hour  // the file of uses is written, if there were any
	rankEvery  = 24 * time.Hour // the table of cached files is made anew
	partsEvery = time.Hour      // partials are looked at
)

// Tend keeps the store in order until ctx ends: partials expire, cached files go
// where the quota or the room for metadata is exceeded, and what is known of their
// use is written down. What fails is logged, and tried again.
func (s *Store) Tend(ctx context.Context) {
	if s.ReadOnly() {
		s.awaitRoom(ctx)
		return
	}
	var watching sync.WaitGroup
	watching.Go(func() { s.watchBallast(ctx) })
	defer watching.Wait()
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	var t tended
	for {
		if err := s.tend(&t, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Warn("the store could not be kept in order; it is tried again", "reason", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tended is when each thing was done last.
type tended struct{ uses, rank, parts time.Time }

func (s *Store) tend(t *tended, now time.Time) error {
	if t.uses.IsZero() { // the first time: what was known when the store was opened is fresh
		t.uses, t.rank = now, now
	}
	err := errors.Join(s.rank(false), s.relieve(), s.buryRemoved())
	due := func(last *time.Time, every time.Duration) bool {
		if now.Sub(*last) < every {
			return false
		}
		*last = now
		return true
	}
	if due(&t.parts, partsEvery) {
		err = errors.Join(err, s.expirePartials(now))
	}
	if due(&t.uses, usesEvery) {
		err = errors.Join(err, s.keepUses())
	}
	if due(&t.rank, rankEvery) {
		err = errors.Join(err, s.rank(true))
	}
	return err
}

// expirePartials removes partials that nobody went on with for partialLife.
func (s *Store) expirePartials(now time.Time) error {
	parts, err := s.idle([32]byte{})
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Expired(now.Add(-partialLife)) {
			if _, err := s.forget([]Waiting{p}, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// How often the free space is looked at: a card takes 100 MB in a second, or less.
const (
	watchEvery = time.Second
	watchClose = 50 * time.Millisecond
	closeTo    = 128 << 20 // bytes above the need of the metadata
)

// watchBallast holds the ballast, and gives it free when somebody else fills the disk
// although nothing is written here: Badger may be merging tables.
func (s *Store) watchBallast(ctx context.Context) {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		every := watchEvery
		free, err := s.metaFree(s.dir)
		switch held := s.ballast.size() > 0; {
		case err != nil:
		case held && free < s.metaNeed()+closeTo:
			every = watchClose
		case !held:
			if err := s.holdBallast(); err != nil {
				s.log.Debug("the room for the metadata could not be held", "reason", err)
			}
		}
		timer.Reset(every)
	}
}

// awaitRoom closes roomy when the metadata could be opened to be written.
func (s *Store) awaitRoom(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if free, err := s.ballast.free(); err == nil && free >= s.meta.Need() && !durable.Unwritable(s.dir) {
			close(s.roomy)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
