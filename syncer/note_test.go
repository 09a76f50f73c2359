package syncer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cheeseboard/storage/pypi"
)

// shelfOfNotes is Notes in memory.
type shelfOfNotes struct {
	mu     sync.Mutex
	notes  map[pypi.Name][]byte
	lists  map[pypi.Name]map[string]time.Time
	reads  int
	writes int
	broken error
}

func (s *shelfOfNotes) Note(name pypi.Name) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.notes[name], s.broken
}

func (s *shelfOfNotes) SetNote(name pypi.Name, note []byte, lists map[string]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	s.writes++
	s.notes[name], s.lists[name] = note, lists
	return nil
}

func (s *shelfOfNotes) Listed(list string, yield func(pypi.Name, time.Time) bool) error {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.lists))
	s.mu.Unlock()
	for _, name := range names {
		if at, is := s.lists[name][list]; is && !yield(name, at) {
			break
		}
	}
	return s.broken
}

func newShelfOfNotes() *shelfOfNotes {
	return &shelfOfNotes{notes: make(map[pypi.Name][]byte), lists: make(map[pypi.Name]map[string]time.Time)}
}

var (
	noon    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	errLate = errors.New("it came too late")
)

// TestNotesAreListed takes a project through trouble and wish and out of both: it
// stands in the lists that its note says, and then in none.
func TestNotesAreListed(t *testing.T) {
	store := newShelfOfNotes()
	b := &notebook{store: store}
	edit := func(change func(*note)) {
		t.Helper()
		if err := b.edit("brie", change); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(n *note) { n.fail("a.whl", errLate, noon, time.Minute, time.Hour) })
	edit(func(n *note) { n.fail("", errLate, noon.Add(time.Second), time.Minute, time.Hour) })
	edit(func(n *note) { n.Wish = &Wish{Since: noon, Last: noon.Add(time.Hour)} })
	n, err := b.get("brie")
	if err != nil {
		t.Fatal(err)
	}
	first := n.Files["a.whl"].NextTry
	if n.Page.NextTry.Before(first) {
		first = n.Page.NextTry
	}
	want := map[string]time.Time{listRetry: first, listTrouble: noon.Add(time.Second), listWish: noon.Add(time.Hour)}
	if got := store.lists["brie"]; !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	edit(func(n *note) { n.Page, n.Wish = nil, nil; delete(n.Files, "a.whl") })
	if len(store.lists["brie"]) > 0 || store.notes["brie"] != nil {
		t.Errorf("left are %v and the note %q", store.lists["brie"], store.notes["brie"])
	}
	writes := store.writes
	edit(func(*note) {})
	if store.writes != writes {
		t.Error("a change that is none was written")
	}
}

// TestNotebookIsBounded reads many more notes than it may remember, from several
// goroutines, each of which counts in a note of its own.
func TestNotebookIsBounded(t *testing.T) {
	store := newShelfOfNotes()
	b := &notebook{store: store}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			mine := pypi.Name(fmt.Sprintf("mine-%d", g))
			for i := range maxKnown {
				if _, err := b.get(pypi.Name(fmt.Sprintf("n-%d-%d", g, i))); err != nil {
					t.Error(err)
				}
				if i%8 > 0 {
					continue
				}
				if err := b.edit(mine, func(n *note) { n.HeldBack++ }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if len(b.known) > maxKnown {
		t.Errorf("%d notes are remembered, at most %d may be", len(b.known), maxKnown)
	}
	for g := range 4 {
		if n, err := b.get(pypi.Name(fmt.Sprintf("mine-%d", g))); n.HeldBack != maxKnown/8 || err != nil {
			t.Errorf("counted %d of %d (%v)", n.HeldBack, maxKnown/8, err)
		}
	}
}

// slowNotes makes nothing durable before so many wait for it.
type slowNotes struct {
	*shelfOfNotes
	waiting sync.WaitGroup
}

func (s *slowNotes) SetNote(name pypi.Name, note []byte, lists map[string]time.Time) error {
	s.waiting.Done()
	s.waiting.Wait()
	return s.shelfOfNotes.SetNote(name, note, lists)
}

// TestNotesWaitTogether changes notes of several projects, which can only be made
// durable together, and looks at them meanwhile.
func TestNotesWaitTogether(t *testing.T) {
	const projects = 5
	store := &slowNotes{shelfOfNotes: newShelfOfNotes()}
	store.waiting.Add(projects)
	b := &notebook{store: store}
	name := func(i int) pypi.Name { return pypi.Name(fmt.Sprint("n", i)) }
	var all sync.WaitGroup
	for i := range projects - 1 {
		all.Go(func() {
			if err := b.edit(name(i), func(n *note) { n.HeldBack = 7 }); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range projects {
		if n, err := b.get(name(i)); n.HeldBack != 0 || err != nil {
			t.Errorf("before it is durable it says %d (%v)", n.HeldBack, err)
		}
	}
	all.Go(func() {
		if err := b.editOwn(func(n *ownNote) { n.Rate = 1 }); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	for i := range projects - 1 {
		if n, err := b.get(name(i)); n.HeldBack != 7 || err != nil {
			t.Errorf("project %d: %d (%v)", i, n.HeldBack, err)
		}
	}
}

// TestNoteIsChangedByOne counts in one note from several goroutines.
func TestNoteIsChangedByOne(t *testing.T) {
	b := &notebook{store: newShelfOfNotes()}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if err := b.edit("brie", func(n *note) { n.HeldBack++ }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, err := b.get("brie"); n.HeldBack != 400 || err != nil || len(b.busy) != 0 {
		t.Errorf("counted to %d (%v), busy are %d", n.HeldBack, err, len(b.busy))
	}
}

// heldNotes keeps the first who reads a note waiting, with what he has read.
type heldNotes struct {
	*shelfOfNotes
	hold    pypi.Name
	held    atomic.Bool
	reading chan struct{} // closed when he waits
	goOn    chan struct{}
}

func (s *heldNotes) Note(name pypi.Name) ([]byte, error) {
	raw, err := s.shelfOfNotes.Note(name)
	if name == s.hold && s.held.CompareAndSwap(false, true) {
		close(s.reading)
		<-s.goOn
	}
	return raw, err
}

// TestSlowReader has one read a note from a slow disk. Nobody waits for him, and what
// he has read is not taken for what it says when it was changed meanwhile, whether the
// change is still in memory or not.
func TestSlowReader(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		store := &heldNotes{shelfOfNotes: newShelfOfNotes(), hold: "brie", reading: make(chan struct{}), goOn: make(chan struct{})}
		b := &notebook{store: store}
		var slow sync.WaitGroup
		slow.Go(func() {
			n, err := b.get("brie")
			if want := map[bool]int{false: 7, true: 0}[forgotten]; n.HeldBack != want || err != nil {
				t.Errorf("he is told %d (%v), want %d", n.HeldBack, err, want)
			}
		})
		<-store.reading
		if err := b.edit("brie", func(n *note) { n.HeldBack = 7 }); err != nil {
			t.Error(err)
		}
		for i := range maxKnown {
			if !forgotten {
				break
			}
			if _, err := b.get(pypi.Name(fmt.Sprint("n", i))); err != nil {
				t.Error(err)
			}
		}
		close(store.goOn)
		slow.Wait()
		if n, err := b.get("brie"); n.HeldBack != 7 || err != nil {
			t.Errorf("forgotten: %t; afterwards it says %d (%v)", forgotten, n.HeldBack, err)
		}
	}
}

// TestNoteThatWasNotWritten: what could not be made durable is not believed.
func TestNoteThatWasNotWritten(t *testing.T) {
	store := newShelfOfNotes()
	b := &notebook{store: store}
	if _, err := b.get("brie"); err != nil {
		t.Fatal(err)
	}
	store.broken = ErrFull
	if err := b.edit("brie", func(n *note) { n.HeldBack = 1 }); !errors.Is(err, ErrFull) {
		t.Errorf("the error is %v", err)
	}
	store.broken = nil
	if n, err := b.get("brie"); n.HeldBack != 0 || err != nil {
		t.Errorf("it says %d (%v)", n.HeldBack, err)
	}
}

// TestNoteWithAPage writes a note together with something else, also where it stays as
// it is; where that fails, the note is the old one.
func TestNoteWithAPage(t *testing.T) {
	store := newShelfOfNotes()
	b := &notebook{store: store}
	puts := 0
	put := func(note []byte, lists map[string]time.Time) error {
		puts++
		return store.SetNote("brie", note, lists)
	}
	for range 2 {
		if err := b.editWith("brie", func(n *note) { n.HeldBack = 3 }, put); err != nil {
			t.Fatal(err)
		}
	}
	if _, listed := store.lists["brie"][listTrouble]; puts != 2 || !listed {
		t.Errorf("it was written %d times, want 2; it is listed: %v", puts, listed)
	}
	err := b.editWith("brie", func(n *note) { n.HeldBack = 4 }, func([]byte, map[string]time.Time) error { return ErrFull })
	if n, readErr := b.get("brie"); !errors.Is(err, ErrFull) || n.HeldBack != 3 || readErr != nil {
		t.Errorf("after a failure (%v) it says %d (%v)", err, n.HeldBack, readErr)
	}
}

// TestSettle: failures of what nobody wants any more end, but not those by which
// metadata are kept from clients.
func TestSettle(t *testing.T) {
	n := note{}
	for _, label := range []string{"wanted.whl", "old.whl", "old.whl.metadata", "new.whl"} {
		at := noon.Add(-2 * troubleLife)
		if label == "new.whl" {
			at = noon
		}
		n.fail(label, errLate, at, time.Minute, time.Hour)
	}
	n.settle(func(label string) bool { return label == "wanted.whl" }, noon)
	got := slices.Sorted(maps.Keys(n.Files))
	if want := []string{"new.whl", "old.whl.metadata", "wanted.whl"}; !cmp.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

// TestNextTry doubles up to the most, with jitter, and no clock can hold a try
// back for good.
func TestNextTry(t *testing.T) {
	const first, most = time.Minute, time.Hour
	for failures, want := range map[int]time.Duration{1: first, 2: 2 * first, 4: 8 * first, 7: most, 1000: most} {
		for range 20 {
			if d := retryAfter(failures, errLate, first, most); d < want || d > want+want/4 {
				t.Errorf("after %d failures: %v, want %v and up to a quarter more", failures, d, want)
			}
		}
	}
	far := &Trouble{NextTry: noon.AddDate(20, 0, 0)}
	if !due(far, noon) || !due(nil, noon) || due(&Trouble{NextTry: noon.Add(time.Hour)}, noon) || !due(&Trouble{NextTry: noon}, noon) {
		t.Error("due says otherwise")
	}
}
