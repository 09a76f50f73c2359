package storage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/storage/durable"
)

// moveAll moves a store as a box does; change is what happens while it copies.
func moveAll(t testing.TB, s *Store, to string, o MoveOptions, change func()) error {
	t.Helper()
	m, err := BeginMove(s, to, o)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	_, err = m.Copy(t.Context())
	if err == nil && change != nil {
		change()
	}
	err = errors.Join(err, s.Close())
	if err == nil {
		err = m.Finish()
	}
	return errors.Join(err, m.Close())
}

// TestMove moves a store that changes meanwhile: pages, files and partials come and
// go. The new one says the same under the same identity, and the old one leads to it.
func TestMove(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "disk", "data")
	s := open(t, dir, Options{})
	a, b, c := fill(t, "a", 3, 5000), fill(t, "b", 2, 5000), fill(t, "c", 2, 300_000)
	bringAll(t, s, a)
	bringAll(t, s, b)
	if err := s.PutProject(c.page); err != nil {
		t.Fatal(err)
	}
	partly(t, s, c, c.refs[0], 100_000)
	partly(t, s, c, c.refs[2], 50_000)
	d := fill(t, "d", 1, 700)
	err := moveAll(t, s, to, MoveOptions{}, func() {
		bringAll(t, s, d)
		if err := s.DeleteProject("b"); err != nil {
			t.Fatal(err)
		}
		partly(t, s, c, c.refs[0], 200_000)
		if err := bring(s, c, c.refs[2]); err != nil {
			t.Fatal(err)
		}
		if err := s.SetValue("line", []byte("month")); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), to) {
		t.Errorf("the old folder opens: %v", err)
	}
	if where, err := Follow(dir); where != to || err != nil {
		t.Errorf("the old folder leads to %q, %v", where, err)
	}
	id, version := s.ID(), s.Version()
	s = open(t, to, Options{})
	defer closeStore(t, s)
	if s.ID() != id || s.Version() < version {
		t.Errorf("identity %s, version %d; before %s, %d", s.ID(), s.Version(), id, version)
	}
	whole(t, s, a)
	whole(t, s, d)
	for _, r := range b.refs {
		if _, err := os.Stat(blobFile(s, r.Digest)); err == nil {
			t.Errorf("%s was removed, and is there", r.Filename)
		}
	}
	in, err := s.Begin(c.refs[0], 300_000)
	if err != nil || in.Offset() != 200_000 {
		t.Fatalf("the partial goes on at %d, %v", in.Offset(), err)
	}
	if _, err := in.Write(c.bytes[c.refs[0].Digest][200_000:]); err != nil {
		t.Fatal(err)
	}
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
	if !without(filepath.Join(to, movingName)) {
		t.Error("the mark of the move is still there")
	}
}

// TestMoveRefuses holds where it does not move to.
func TestMoveRefuses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	defer closeStore(t, s)
	bringAll(t, s, fill(t, "a", 1, 5000))
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "letters"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := writeMoving(foreign, moving{From: "/elsewhere"}, &durable.Disk{}); err != nil {
		t.Fatal(err)
	}
	held := open(t, t.TempDir(), Options{})
	defer closeStore(t, held)
	for to, want := range map[string]string{
		"data": "whole path", dir: "lies in the other", filepath.Join(dir, "sub"): "lies in the other",
		filepath.Dir(dir): "lies in the other", other: "not empty", foreign: "/elsewhere", held.Dir(): "not empty",
	} {
		if m, err := BeginMove(s, to, MoveOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("to %s: %v, %v", to, m, err)
		}
	}
	small := func(string) (int64, error) { return 1000, nil }
	if _, err := BeginMove(s, filepath.Join(t.TempDir(), "new"), MoveOptions{Free: small}); !errors.Is(err, ErrFull) {
		t.Errorf("to a disk without room: %v", err)
	}
}

// TestMoveOfDamage moves a store one of whose files is damaged: that is set aside,
// and does not hold up the rest.
func TestMoveOfDamage(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "data")
	s := open(t, dir, Options{})
	a := fill(t, "a", 3, 5000)
	bringAll(t, s, a)
	flipBit(t, s, a.refs[2].Digest)
	lost := 0
	if err := moveAll(t, s, to, MoveOptions{Lost: func() { lost++ }}, nil); err != nil {
		t.Fatal(err)
	}
	s = open(t, to, Options{})
	defer closeStore(t, s)
	refs, err := s.Lost()
	if err != nil || lost != 1 || len(refs) != 1 || refs[0].Digest != a.refs[2].Digest {
		t.Errorf("told %d times, lost %+v, %v", lost, refs, err)
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}

// TestMoveIsCut stops a move at durable steps, as a power cut does: at every one in
// the long run, else at every fifth and at all of the last, where the commit point
// is. Whichever folder is opened then, either it says where to go, or it has
// everything; and the move can be made again.
func TestMoveIsCut(t *testing.T) {
	pristine := t.TempDir()
	s := open(t, pristine, Options{})
	a := fill(t, "a", 2, 5000)
	bringAll(t, s, a)
	closeStore(t, s)
	dry, _, _ := cutMove(t, pristine, 1<<30)
	stride := 5
	if os.Getenv("CHEESEBOARD_TEST_LONG") != "" {
		stride = 1
	}
	complete := 0
	for step := 0; step < dry; step++ {
		if step%stride != 0 && step < dry-8 {
			continue
		}
		_, dir, to := cutMove(t, pristine, step)
		if cutIsMet(t, step, dir, to, a) {
			complete++
		}
	}
	if dry < 40 || complete == 0 {
		t.Errorf("a move has %d steps, %d that were cut off were complete", dry, complete)
	}
}

// cutMove moves a copy of a store, and fails every step after the first few. It
// gives the number of steps that were tried, and the folders.
func cutMove(t *testing.T, pristine string, most int) (steps int, dir, to string) {
	t.Helper()
	parent := t.TempDir()
	dir, to = filepath.Join(parent, "old"), filepath.Join(parent, "new")
	if err := os.CopyFS(dir, os.DirFS(pristine)); err != nil {
		t.Fatal(err)
	}
	cut := errors.New("cut")
	disk := &durable.Disk{Fault: func(durable.Step, string, bool) error {
		if steps++; steps > most {
			return cut
		}
		return nil
	}}
	if err := moveAll(t, open(t, dir, Options{}), to, MoveOptions{Disk: disk}, nil); err != nil && !errors.Is(err, cut) {
		t.Fatal(err)
	}
	return steps, dir, to
}

// cutIsMet opens what a cut has left, and makes the move again where it was not
// complete. It tells whether it was.
func cutIsMet(t *testing.T, step int, dir, to string, a *shelf) (complete bool) {
	t.Helper()
	where, err := Follow(dir)
	if err != nil {
		t.Fatalf("after %d steps the old folder leads nowhere: %v", step, err)
	}
	if where != to && !without(filepath.Join(to, "FORMAT")) {
		// Who opens the new one too early is sent back.
		if _, err := Open(to, Options{}); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), dir) {
			t.Errorf("after %d steps the new folder opens: %v", step, err)
		}
	}
	s := open(t, where, Options{})
	whole(t, s, a)
	if where == dir {
		if err := moveAll(t, s, to, MoveOptions{}, nil); err != nil {
			t.Fatalf("after %d steps it cannot be made again: %v", step, err)
		}
		s = open(t, to, Options{})
		whole(t, s, a)
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Errorf("after %d steps: %v", step, found)
	}
	closeStore(t, s)
	return where == to
}

// TestFollow holds what the marks of moves say where the disks are not as they were.
func TestFollow(t *testing.T) {
	var disk durable.Disk
	one, two := t.TempDir(), t.TempDir()
	if where, err := Follow(one); where != one || err != nil {
		t.Errorf("without a mark: %q, %v", where, err)
	}
	mark := func(from, to string) {
		t.Helper()
		if err := writeMark(filepath.Join(from, movedName), moved{To: to}, &disk); err != nil {
			t.Fatal(err)
		}
	}
	mark(one, two)
	if _, err := Follow(one); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "mount") {
		t.Errorf("to a disk that is not there: %v", err)
	}
	if err := errors.Join(writeFormat(one, &disk), writeFormat(two, &disk)); err != nil {
		t.Fatal(err)
	}
	if where, err := Follow(one); where != two || err != nil {
		t.Errorf("%q, %v", where, err)
	}
	mark(two, one)
	if _, err := Follow(one); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "circle") {
		t.Errorf("in a circle: %v", err)
	}
	// The old disk was taken out after the copy was complete: this is all there is.
	last := t.TempDir()
	if err := writeMoving(last, moving{From: filepath.Join(last, "gone"), Complete: true}, &disk); err != nil {
		t.Fatal(err)
	}
	s := open(t, last, Options{})
	closeStore(t, s)
}
