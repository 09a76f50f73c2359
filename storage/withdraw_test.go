package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// entitled chooses a file by its name.
func entitled(filename string) func(*pypi.File) bool {
	return func(f *pypi.File) bool { return f.Filename == filename }
}

func mustWithdraw(t testing.TB, s *Store, u Upload) {
	t.Helper()
	if got, err := s.Withdraw(u.Name, entitled(u.File.Filename)); err != nil || !slices.Equal(got, []string{u.File.Filename}) {
		t.Fatalf("delete %s: %v, %v", u.File.Filename, got, err)
	}
}

// TestYank marks a private file and takes the mark away: each is a change that
// followers see, and lasts; what is so already is none.
func TestYank(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	one, two := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000), uploadOf("acme", "acme-1.1-py3-none-any.whl", 2, 3000)
	mustUpload(t, s, one)
	mustUpload(t, s, two)
	generation := func() uint64 {
		t.Helper()
		info, known, err := s.Info("acme")
		if err != nil || !known {
			t.Fatal(known, err)
		}
		return info.Generation
	}
	state := func(want ...pypi.Yanked) {
		t.Helper()
		p, _, err := s.Project("acme")
		if err != nil || len(p.Files) != 2 || p.Files[0].Yanked != want[0] || p.Files[1].Yanked != want[1] {
			t.Errorf("%+v, %v; want %v", p, err, want)
		}
	}
	yanked, none := pypi.Yanked{Is: true, Reason: "it <smelled>"}, pypi.Yanked{}
	for _, step := range []struct {
		set     pypi.Yanked
		changes bool
	}{{yanked, true}, {yanked, false}, {pypi.Yanked{Is: true}, true}, {pypi.Yanked{Reason: "of nothing"}, true}, {none, false}, {yanked, true}} {
		before := generation()
		if got, err := s.Yank("acme", entitled(two.File.Filename), step.set); err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		if (generation() > before) != step.changes {
			t.Errorf("%+v: the generation was %d and is %d", step.set, before, generation())
		}
		want := step.set
		if !want.Is {
			want = none
		}
		state(none, want)
	}
	if err := s.Upload(two); !errors.Is(err, ErrHeld) {
		t.Errorf("uploaded again: %v", err)
	}
	if got, err := s.Yank("acme", entitled("acme-9.whl"), yanked); err != nil || got != nil {
		t.Errorf("a file that is not there: %v, %v", got, err)
	}
	if _, err := s.Yank("b", entitled(two.File.Filename), yanked); !errors.Is(err, ErrNotPrivate) {
		t.Errorf("a project that is not private: %v", err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	state(none, yanked)
	served(t, s, two)
	sound(t, s)
}

// TestWithdraw deletes private files: their bytes go, not those that others need, and
// their names stand for them for good, over a restart and in both kinds of backup.
func TestWithdraw(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	one := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000)
	two := uploadOf("acme", "acme-1.1-py3-none-any.whl", 2, 3000)
	three := uploadOf("acme", "acme-1.1-py2-none-any.whl", 3, 3000)
	three.Metadata = two.Metadata
	for _, u := range []Upload{one, two, three} {
		mustUpload(t, s, u)
	}
	before, _, err := s.Info("acme")
	if err != nil {
		t.Fatal(err)
	}
	mustWithdraw(t, s, two)
	if after, _, err := s.Info("acme"); err != nil || after.Generation <= before.Generation {
		t.Errorf("followers are not told: %+v, %+v, %v", before, after, err)
	}
	if _, err := s.blobs.Size(digestOf(two)); !errors.Is(err, ErrNotFound) {
		t.Errorf("the bytes stay: %v", err)
	}
	served(t, s, one)
	served(t, s, three)
	mustWithdraw(t, s, three)
	if got, err := s.Withdraw("acme", entitled(two.File.Filename)); err != nil || got != nil {
		t.Errorf("deleted again: %v, %v", got, err)
	}
	if _, err := s.Withdraw("b", entitled(two.File.Filename)); !errors.Is(err, ErrNotPrivate) {
		t.Errorf("a project that is not private: %v", err)
	}
	check := func(s *Store) {
		t.Helper()
		page, _, err := s.Project("acme")
		if err != nil || len(page.Files) != 1 || !slices.Equal(page.Versions, []string{"1.0"}) {
			t.Errorf("%+v, %v", page, err)
		}
		for _, filename := range []string{two.File.Filename, "Acme-1.1.0-py3-none-any.whl"} {
			var taken *TakenError
			if err := s.Upload(uploadOf("acme", filename, 9, 3000)); !errors.As(err, &taken) || !taken.Deleted || !strings.Contains(err.Error(), "was deleted") {
				t.Errorf("%s with other bytes: %v", filename, err)
			}
		}
		served(t, s, one)
		sound(t, s)
	}
	check(s)
	raws := [][]byte{backup(t, s, BackupOptions{}), backup(t, s, BackupOptions{Stocked: true})}
	closeStore(t, s)
	for _, raw := range append(raws, nil) {
		if raw != nil {
			if _, err := restore(t, dir, raw, RestoreOptions{Replace: true}); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, dir, Options{})
		check(s)
		closeStore(t, s)
	}
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	mustUpload(t, s, two) // the same bytes
	served(t, s, two)
	mustWithdraw(t, s, one)
	mustWithdraw(t, s, two)
	page, known, err := s.Project("acme")
	if err != nil || !known || len(page.Files)+len(page.Versions) != 0 || !s.Private("acme") {
		t.Errorf("of a project without files: %+v, %v, %v", page, known, err)
	}
	sound(t, s)
}

// TestWithdrawOfWhatIsLost deletes a private file that the disk has lost: nobody is to
// be told of it any more.
func TestWithdrawOfWhatIsLost(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	u := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000)
	mustUpload(t, s, u)
	removeFile(t, s, digestOf(u))
	if _, found := verify(t, s, VerifyOptions{Repair: true}); len(found) != 1 {
		t.Fatalf("%+v", found)
	}
	mustWithdraw(t, s, u)
	if lost, err := s.Lost(); err != nil || len(lost) != 0 {
		t.Errorf("%+v, %v", lost, err)
	}
	sound(t, s)
}

// TestWithdrawFailsEverywhere fails each step by which bytes are removed, before it
// happened and after it, and opens the folder again as after a cut: the file is deleted
// or whole, and no other bytes have its name.
func TestWithdrawFailsEverywhere(t *testing.T) {
	fault := errors.New("injected")
	one, two := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000), uploadOf("acme", "acme-1.1-py3-none-any.whl", 2, 3000)
	pristine := t.TempDir()
	s := open(t, pristine, Options{})
	mustUpload(t, s, one)
	mustUpload(t, s, two)
	closeStore(t, s)
	for n := 0; ; n++ {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(pristine)); err != nil {
			t.Fatal(err)
		}
		count, hit, armed := 0, "", false
		s := open(t, dir, Options{Disk: &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
			if armed && strings.Contains(path, "blobs") {
				if count++; count == n+1 {
					hit = fmt.Sprintf("%s %s done=%v", step, filepath.Base(path), done)
				}
				if hit != "" {
					return fault
				}
			}
			return nil
		}}})
		armed = true
		mustWithdraw(t, s, two) // what fails is behind the commit point
		armed = false
		closeStore(t, s)
		s = open(t, dir, Options{})
		page, _, err := s.Project("acme")
		if err != nil || len(page.Files) != 1 {
			t.Errorf("after %q: %+v, %v", hit, page, err)
		}
		if _, err := s.blobs.Size(digestOf(two)); !errors.Is(err, ErrNotFound) {
			t.Errorf("after %q the bytes stay: %v", hit, err)
		}
		var taken *TakenError
		if err := s.Upload(uploadOf("acme", two.File.Filename, 9, 3000)); !errors.As(err, &taken) {
			t.Errorf("after %q other bytes: %v", hit, err)
		}
		served(t, s, one)
		sound(t, s)
		closeStore(t, s)
		if hit == "" {
			if n < 4 {
				t.Errorf("only %d steps were seen", n)
			}
			return
		}
	}
}
