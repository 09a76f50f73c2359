package storage

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/storage/pypi"
)

// flipBit changes one bit in the middle of a blob behind the store's back.
func flipBit(t testing.TB, s *Store, digest pypi.Digest) {
	t.Helper()
	path := blobFile(s, digest)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0x10
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, raw, 0o644), os.Chmod(path, 0o444)); err != nil {
		t.Fatal(err)
	}
}

func blobFile(s *Store, digest pypi.Digest) string {
	name := digest.String()
	return filepath.Join(s.dir, "blobs", name[:2], name)
}

// scrubOnce makes one round, however long ago the last one was.
func scrubOnce(t testing.TB, s *Store, o ScrubOptions) ScrubState {
	t.Helper()
	o.Rate, o.Rounds = -1, 1
	before, err := s.Scrubbed()
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now()
	if last := before.Last.Began; !last.IsZero() {
		later = last.Add(DefaultScrubInterval)
	}
	o.now = func() time.Time { return later }
	if err := s.Scrub(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	state, err := s.Scrubbed()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestScrubFinds damages files in each way; all are found, set aside, remembered,
// and sound again when they have been brought again.
func TestScrubFinds(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	a, b := fill(t, "a", 4, 300_000), fill(t, "b", 2, 100)
	bringAll(t, s, a)
	bringAll(t, s, b)
	if state := scrubOnce(t, s, ScrubOptions{}); state.Last.Blobs != 12 || state.Last.Damaged != 0 {
		t.Fatalf("of a sound store: %+v", state)
	}
	flipBit(t, s, a.refs[0].Digest)
	flipBit(t, s, a.refs[1].Digest) // metadata
	flipBit(t, s, b.refs[2].Digest)
	cut, gone := blobFile(s, a.refs[2].Digest), blobFile(s, a.refs[4].Digest)
	if err := errors.Join(os.Chmod(cut, 0o644), os.Truncate(cut, 1000), os.Remove(gone)); err != nil {
		t.Fatal(err)
	}
	told := 0
	state := scrubOnce(t, s, ScrubOptions{Lost: func() { told++ }})
	if state.Last.Damaged != 5 || told != 5 || len(state.Damages) != 5 || state.Running || state.Next != "" {
		t.Errorf("told %d times: %+v", told, state)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	lost, err := s.Lost()
	if err != nil || len(lost) != 5 {
		t.Fatalf("lost %+v, %v", lost, err)
	}
	pinned := 0
	for _, r := range lost {
		if r.Pinned {
			pinned++
		}
		if _, _, err := s.OpenFile(r.Name, r.Digest); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s is still given out: %v", r.Filename, err)
		}
	}
	if pinned != 4 {
		t.Errorf("%d of the lost files are pinned, want 4", pinned)
	}
	bringAll(t, s, a)
	bringAll(t, s, b)
	if lost, err := s.Lost(); len(lost) != 0 || err != nil {
		t.Errorf("still lost %+v, %v", lost, err)
	}
	if state := scrubOnce(t, s, ScrubOptions{}); state.Last.Damaged != 0 || len(state.Damages) != 5 {
		t.Errorf("in the end: %+v", state)
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}

// TestScrubGoesOn ends a round in the middle of a file, and in another process.
func TestScrubGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	sh := fill(t, "a", 6, 300_000) // three pieces each
	bringAll(t, s, sh)
	ctx, cancel := context.WithCancel(t.Context())
	pieces := 0
	stop := func() bool {
		if pieces++; pieces == 12 {
			cancel()
		}
		return false
	}
	if err := s.Scrub(ctx, ScrubOptions{Rate: -1, Hold: stop}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	state, err := s.Scrubbed()
	if err != nil || state.Next == "" || state.Round.Began.IsZero() || state.Round.Blobs == 0 || state.Round.Blobs >= 12 {
		t.Fatalf("%+v, %v", state, err)
	}
	before := state.Round.Blobs
	blobs := 0
	if err := s.Scrub(t.Context(), ScrubOptions{Rate: -1, Rounds: 1}); err != nil {
		t.Fatal(err)
	}
	if state, err = s.Scrubbed(); err != nil || state.Last.Blobs != 12 || !state.Round.Began.IsZero() {
		t.Errorf("after %d and %d: %+v, %v", before, blobs, state, err)
	}
	// The next is not due.
	ended := errors.New("ended")
	err = s.Scrub(t.Context(), ScrubOptions{Rate: -1, wait: func(_ context.Context, d time.Duration) error {
		if d != time.Hour {
			t.Errorf("it waits %v", d)
		}
		return ended
	}})
	if !errors.Is(err, ended) {
		t.Errorf("the next begins at once: %v", err)
	}
}

// TestScrubDue says when a round begins, by clocks that are right and wrong.
func TestScrubDue(t *testing.T) {
	now := time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC)
	const week = 7 * 24 * time.Hour
	for _, c := range []struct {
		name  string
		state ScrubState
		now   time.Time
		want  time.Duration
	}{
		{"never before", ScrubState{}, now, 0},
		{"under way", ScrubState{Round: ScrubRound{Began: now}, Last: ScrubRound{Began: now}}, now, 0},
		{"a day ago", ScrubState{Last: ScrubRound{Began: now.Add(-24 * time.Hour)}}, now, week - 24*time.Hour},
		{"the clock is not set", ScrubState{Last: ScrubRound{Began: now}}, time.Unix(1000, 0), time.Hour},
		{"the clock was set back a little", ScrubState{Last: ScrubRound{Began: now.Add(time.Hour)}}, now, week + time.Hour},
		{"the clock was years ahead", ScrubState{Last: ScrubRound{Began: now.AddDate(10, 0, 0)}}, now, 0},
	} {
		s := scrubber{o: ScrubOptions{Interval: week, now: func() time.Time { return c.now }}}
		if got := s.untilDue(c.state); max(got, 0) != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestPace holds that the rate is kept, that time which was not used is not made
// up for, and that nothing is read while it is held.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held atomic.Bool
		var told []bool
		p := pacer{rate: 1 << 20, hold: held.Load, held: func(is bool) { told = append(told, is) }}
		begun := time.Now()
		for range 41 {
			if err := p.take(t.Context(), 128<<10); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("5 MiB at 1 MiB/s took %v", took)
		}
		time.Sleep(time.Minute)
		begun = time.Now()
		held.Store(true)
		time.AfterFunc(90*time.Second, func() { held.Store(false) })
		for range 9 {
			if err := p.take(t.Context(), 128<<10); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took < 91*time.Second || took > 92*time.Second {
			t.Errorf("1 MiB took %v, held up for 90 s", took)
		}
		if len(told) != 2 || !told[0] || told[1] {
			t.Errorf("told %v", told)
		}
		ctx, cancel := context.WithCancel(t.Context())
		held.Store(true)
		time.AfterFunc(time.Minute, cancel)
		if err := p.take(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("held up, and ended: %v", err)
		}
	})
}

// TestScrubSeesTables flips a bit in a table of a store that is open.
func TestScrubSeesTables(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	bringAll(t, s, fill(t, "a", 2, 100))
	closeStore(t, s)
	s = open(t, dir, Options{})
	tables, err := filepath.Glob(filepath.Join(dir, "meta", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	raw, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[20] ^= 1
	if err := os.WriteFile(tables[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context(), ScrubOptions{Rate: -1, Rounds: 1}); !errors.Is(err, ErrDamaged) {
		t.Errorf("the scrub gives %v", err)
	}
	if state, err := s.Scrubbed(); err != nil || state.Trouble == "" || state.Running {
		t.Errorf("then it says of itself %+v (%v)", state, err)
	}
	closeStore(t, s)
	if _, err := Open(dir, Options{Reserve: -1}); !errors.Is(err, ErrDamaged) {
		t.Errorf("without mending: %v", err)
	}
	s = open(t, dir, Options{Mend: true})
	defer closeStore(t, s)
	if aside, is, err := s.Aside(); !is || err != nil || aside.Folder != "meta.damaged-1" {
		t.Errorf("%+v, %v, %v", aside, is, err)
	}
}

// TestUnreadableDisk holds that nothing is given up on a disk that reads nothing, however
// often it is tried, wherever that begins; of one that reads others, what it cannot read.
func TestUnreadableDisk(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	sh := fill(t, "a", 20, 1000)
	bringAll(t, s, sh)
	slices.SortFunc(sh.refs, func(a, b Ref) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) })
	walk := func(from int, broken func(int) bool) (lost []int, err error) {
		t.Helper()
		v := s.newVerifier(t.Context(), VerifyOptions{Repair: true})
		v.keep = true
		v.read = func(digest pypi.Digest) (seen, error) {
			got, err := s.hash(digest)
			n := slices.IndexFunc(sh.refs, func(r Ref) bool { return r.Digest == digest })
			if err == nil && broken(n) {
				err = &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}
			}
			return got, err
		}
		first := pypi.Digest{}
		if from > 0 {
			first = sh.refs[from].Digest
		}
		_, err = v.walk(first)
		for i, r := range sh.refs {
			if _, here, refErr := s.meta.Ref(r.Name, r.Digest); refErr != nil || !here {
				lost = append(lost, i)
			}
		}
		return lost, err
	}
	all := func(int) bool { return true }
	for _, from := range []int{0, 0, 20, len(sh.refs) - 3, len(sh.refs) - 1} {
		if lost, err := walk(from, all); !errors.Is(err, errFailing) || len(lost) > 0 {
			t.Errorf("from file %d on nothing can be read: %v, and %d files are given up", from, err, len(lost))
		}
	}
	last := len(sh.refs) - 1
	some := func(n int) bool { return n == 0 || n == 3 || n == 4 || n == last-1 || n == last }
	if lost, err := walk(last-1, some); err != nil || !slices.Equal(lost, []int{last - 1, last}) {
		t.Errorf("the last two cannot be read: %v, given up are %v", err, lost)
	}
	if lost, err := walk(0, some); err != nil || !slices.Equal(lost, []int{0, 3, 4, last - 1, last}) {
		t.Errorf("some cannot be read: %v, given up are %v", err, lost)
	}
}

// TestUnreadableSmallDisk: where few files are, and none of them can be read, none is given
// up either.
func TestUnreadableSmallDisk(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	sh := fill(t, "a", 2, 1000)
	bringAll(t, s, sh)
	v := s.newVerifier(t.Context(), VerifyOptions{Repair: true})
	v.keep = true
	v.read = func(digest pypi.Digest) (seen, error) {
		got, err := s.hash(digest)
		return got, errors.Join(err, &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO})
	}
	if _, err := v.walk(pypi.Digest{}); !errors.Is(err, errFailing) {
		t.Errorf("nothing can be read: %v", err)
	}
	whole(t, s, sh)
}
