package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"cheeseboard/storage/pypi"
)

// Defaults of ScrubOptions.
const (
	DefaultScrubRate     = 2 << 20
	DefaultScrubInterval = 7 * 24 * time.Hour
)

// scrubSaveEvery is the time after which the place is noted: each time costs the
// card some 14 KB, and a power cut that much reading.
const scrubSaveEvery = 10 * time.Minute

// plausible is before the first version of this program: a clock that shows less
// has not been set.
var plausible = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ScrubOptions are the settings of a Scrub; the zero value is the default of each.
type ScrubOptions struct {
	Rate     int64         // bytes per second; 0: DefaultScrubRate, negative: no limit
	Interval time.Duration // between the beginnings of two rounds; 0: DefaultScrubInterval
	// Hold is asked before each piece: while it gives true the scrub waits. nil:
	// nothing holds it up.
	Hold func() bool
	// Lost is called when something was found that is to be fetched again; see
	// Store.Lost. nil: nobody is told.
	Lost func()
	// Rounds ends it after so many complete rounds, for tests; 0: none.
	Rounds int

	wait func(context.Context, time.Duration) error // for tests
	now  func() time.Time
}

// Scrub reads all files in the background, round after round, and compares them
// with their digests, until ctx ends. A round goes through the files in the order
// of their digests, so that the next one is always that which was not read for the
// longest; after a restart it goes on where it was. It reads past the page cache,
// at the lowest priority. Files that the disk has changed are set aside, references
// to lost ones forgotten, and both stand in Lost.
//
// First, and at the beginning of each round, it reads the metadata's tables.
// ErrDamaged means that these are not sound: the store is to be closed, and opened
// again with Mend. Other errors say that it could not look.
func (s *Store) Scrub(ctx context.Context, o ScrubOptions) error {
	switch {
	case o.Rate == 0:
		o.Rate = DefaultScrubRate
	case o.Rate < 0:
		o.Rate = 0
	}
	if o.Interval == 0 {
		o.Interval = DefaultScrubInterval
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.Lost == nil {
		o.Lost = func() {}
	}
	c := &scrubber{Store: s, ctx: ctx, o: o, saved: time.Now()}
	c.pace = pacer{rate: o.Rate, hold: o.Hold, wait: o.wait, held: func(is bool) {
		_ = s.editScrub(false, func(st *ScrubState) { st.Held = is }) // it was loaded before
	}}
	ended := make(chan error, 1)
	go func() { // its thread has a priority of its own, and ends with it
		yield()
		ended <- c.run()
	}()
	err := <-ended
	stopErr := s.editScrub(c.unsaved, func(st *ScrubState) {
		st.Running, st.Held, st.Trouble = false, false, ""
		if err != nil {
			st.Trouble = err.Error()
		}
	})
	if errors.Is(stopErr, ErrFull) {
		stopErr = nil // some files will be read again
	}
	return errors.Join(err, stopErr)
}

// yield gives this goroutine a thread that lets all others go first, to the
// processor and to the disk.
func yield() {
	const ofThread, idle = 1, 3 << 13 // ioprio_set: IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE
	runtime.LockOSThread()            // never unlocked: the thread ends with the goroutine
	// Where the system refuses, the rate still holds.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ofThread, 0, idle)
}

type scrubber struct {
	*Store
	ctx      context.Context
	o        ScrubOptions
	pace     pacer
	saved    time.Time // when the place was last noted
	unsaved  bool      // something is to be noted at the end
	repeated int       // files that were read twice, since it was last noted
}

func (c *scrubber) run() error {
	checked := true // the tables, for the round that begins now
	if err := c.tables(); err != nil {
		return c.ended(err)
	}
	for rounds := 0; c.o.Rounds == 0 || rounds < c.o.Rounds; {
		state, err := c.Scrubbed()
		if err != nil {
			return err
		}
		if d := c.untilDue(state); d > 0 {
			checked = false
			if err := c.pace.sleep(c.ctx, min(d, time.Hour)); err != nil {
				return c.ended(err)
			}
			continue
		}
		if !checked {
			if err := c.tables(); err != nil {
				return c.ended(err)
			}
		}
		if err := c.round(state); err != nil {
			return c.ended(err)
		}
		rounds++
		checked = false
	}
	return nil
}

// ended is nil where it was ctx that ended it.
func (c *scrubber) ended(err error) error {
	if c.ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("scrub: %w", err)
}

func (c *scrubber) tables() error {
	return c.meta.CheckTables(c.ctx, func(n int) error { return c.pace.take(c.ctx, n) })
}

// untilDue tells when to go on: at once with a round that is under way.
func (c *scrubber) untilDue(state ScrubState) time.Duration {
	now := c.o.now()
	switch since := now.Sub(state.Last.Began); {
	case !state.Round.Began.IsZero():
		return 0
	case now.Before(plausible):
		return time.Hour // the clock will be set; a round that begins in 1970 would be due again at once
	case since < -c.o.Interval: // it was the clock of then that was wrong
		return 0
	default:
		return c.o.Interval - since
	}
}

// round reads all files, or the rest of them.
func (c *scrubber) round(state ScrubState) error {
	var first pypi.Digest
	if state.Next != "" {
		var err error
		if first, err = pypi.ParseDigest(state.Next); err != nil {
			first = pypi.Digest{}
		}
	}
	fresh := state.Round.Began.IsZero()
	if err := c.begin(first, fresh); err != nil {
		return err
	}
	v := c.newVerifier(c.ctx, VerifyOptions{Repair: true, Report: c.report})
	v.keep, v.read = true, c.read
	if fresh {
		if err := v.references(); err != nil {
			return err
		}
	}
	done := state.Round
	v.opts.Progress = func(p VerifyProgress) { c.progress(done, p, v.place) }
	next, err := v.walk(first)
	if next == "" && err == nil {
		return c.finish(done, v.progress)
	}
	if next != "" {
		c.unsaved = true
		return errors.Join(err, c.editScrub(false, func(st *ScrubState) {
			st.Next = next
			c.count(&st.Round, done, v.progress)
		}))
	}
	return err
}

// begin notes the beginning of a round, or that it goes on.
func (c *scrubber) begin(first pypi.Digest, fresh bool) error {
	var total int64
	count := func(_ pypi.Digest, size int64) bool { total += size; return c.ctx.Err() == nil }
	if err := c.blobs.Each(first, count, func(string) {}); err != nil {
		return err
	}
	now := c.o.now()
	return c.editScrub(false, func(st *ScrubState) {
		if fresh {
			st.Round, st.Next = ScrubRound{Began: now}, ""
		}
		st.Running, st.Total = true, st.Round.Bytes+total
	})
}

// count sets what a round has done: what it had before, and what it did now.
func (c *scrubber) count(r *ScrubRound, before ScrubRound, p VerifyProgress) {
	r.Blobs, r.Bytes = before.Blobs+p.Blobs, before.Bytes+p.Bytes
	r.Repeated += c.repeated
	c.repeated = 0
}

// progress notes how far it is, now and then also on the disk.
func (c *scrubber) progress(before ScrubRound, p VerifyProgress, place string) {
	save := time.Since(c.saved) >= scrubSaveEvery
	if save {
		c.saved = time.Now()
	}
	c.unsaved = true
	err := c.editScrub(save, func(st *ScrubState) {
		st.Next = place
		c.count(&st.Round, before, p)
	})
	if err != nil {
		c.log.Warn("how far the scrub is could not be noted", "reason", err)
	}
}

func (c *scrubber) finish(before ScrubRound, p VerifyProgress) error {
	var last ScrubRound
	err := c.editScrub(true, func(st *ScrubState) {
		c.count(&st.Round, before, p)
		st.Round.Ended = c.o.now()
		st.Last, st.Round, st.Next, st.Running, st.Trouble = st.Round, ScrubRound{}, "", false, ""
		last = st.Last
	})
	c.unsaved, c.saved = false, time.Now()
	c.log.Info("all files have been read", "files", last.Blobs, "bytes", last.Bytes, "damaged", last.Damaged, "took", last.Ended.Sub(last.Began))
	if errors.Is(err, ErrFull) {
		return nil
	}
	return err
}

// report takes what the verifier found. What no page names is no damage.
func (c *scrubber) report(f Finding) {
	if !f.ofBytes() {
		return
	}
	c.unsaved = true
	d := Damage{When: c.o.now(), Fault: f.Fault, Project: f.Project, What: f.What}
	if err := c.editScrub(true, func(st *ScrubState) { st.damage(d) }); err != nil {
		c.log.Warn("damage could not be noted", "project", f.Project, "file", f.What, "reason", err)
	}
	c.o.Lost()
}

// read hashes a blob at the scrub's pace. What is wrong is read a second time: the
// way from the disk can fail too.
func (c *scrubber) read(digest pypi.Digest) (seen, error) {
	first, err := c.readOnce(digest)
	if err == nil && first.digest == digest || first.info == nil || c.ctx.Err() != nil {
		return first, err
	}
	second, err := c.readOnce(digest)
	if err == nil && second.digest == digest {
		c.log.Warn("a file was read wrong once, and right the second time: the disk or the way to it is failing", "digest", digest.String())
		c.repeated++
	}
	return second, err
}

func (c *scrubber) readOnce(digest pypi.Digest) (seen seen, err error) {
	h := sha256.New()
	var info os.FileInfo
	info, err = c.blobs.ReadCold(digest, func(n int) error { return c.pace.take(c.ctx, n) }, func(b []byte) {
		seen.size += int64(len(b))
		_, _ = h.Write(b) // hash.Hash never fails
	})
	seen.info = info
	h.Sum(seen.digest[:0])
	return seen, err
}
