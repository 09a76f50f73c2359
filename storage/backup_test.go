package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

func backup(t testing.TB, s *Store, o BackupOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.Backup(t.Context(), &b, o)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes, %d written, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

// backedUp makes a store of two projects with pins, notes, lists, values and a log,
// and gives its folder and a backup of it.
func backedUp(t testing.TB) (dir string, a, b *shelf, raw []byte, version uint64) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, Options{})
	defer closeStore(t, s)
	a, b = fill(t, "a", 70, 500), fill(t, "b", 3, 500)
	bringAll(t, s, a)
	bringAll(t, s, b)
	err := errors.Join(
		s.SetState("a", []byte("validators"), Mark{List: "retry", At: time.Unix(1000, 0)}),
		s.SetState("wished", []byte("wish"), Mark{List: "wish", At: time.Unix(2000, 0)}),
		s.SetValue("line", []byte("month")),
		s.Append("line", []byte("event"), 10),
		s.PutProject(&pypi.Project{Name: "page-only"}),
		s.PutProject(&pypi.Project{Name: "gone"}),
		s.DeleteProject("gone"),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir, a, b, backup(t, s, BackupOptions{Settings: "settings", Program: "test"}), s.Version()
}

// asBefore looks whether a store says what that of backedUp said.
func asBefore(t testing.TB, s *Store, a, b *shelf, version uint64) {
	t.Helper()
	whole(t, s, a)
	whole(t, s, b)
	state, err := s.State("a")
	if string(state) != "validators" || err != nil {
		t.Errorf("the note is %q, %v", state, err)
	}
	if v, err := s.Value("line"); string(v) != "month" || err != nil {
		t.Errorf("the value is %q, %v", v, err)
	}
	marks := ""
	for _, list := range []string{"retry", "wish"} {
		if err := s.Marked(list, func(n pypi.Name, at time.Time) bool {
			marks += fmt.Sprintf("%s %s %d ", list, n, at.Unix())
			return true
		}); err != nil {
			t.Error(err)
		}
	}
	if marks != "retry a 1000 wish wished 2000 " {
		t.Errorf("the lists are %q", marks)
	}
	events := ""
	if err := s.Log("line", func(raw []byte) bool { events += string(raw); return true }); err != nil || events != "event" {
		t.Errorf("the log is %q, %v", events, err)
	}
	for _, r := range a.refs[:4] {
		held, err := s.Held("a")
		if err != nil || held[r.Digest].Pinned != r.Pinned {
			t.Errorf("%s is pinned: %v (%v)", r.Filename, held[r.Digest].Pinned, err)
		}
	}
	// No generation is given twice, and the journal tells of every project.
	names := 0
	if err := s.Generations(func(name pypi.Name, generation uint64) bool {
		if names++; generation <= version {
			t.Errorf("%s has generation %d, and %d were given out before", name, generation, version)
		}
		return true
	}); err != nil || names != 3 {
		t.Errorf("%d projects, %v", names, err)
	}
	list, err := s.Journal(version)
	if err != nil || len(list) != 4 {
		t.Errorf("the journal since then is %v, %v", list, err)
	}
	if _, found := verify(t, s, VerifyOptions{Restart: true}); len(found) != 0 {
		t.Error(found)
	}
}

func restore(t testing.TB, dir string, raw []byte, o RestoreOptions) (Restored, error) {
	t.Helper()
	o.Reserve = -1
	return Restore(t.Context(), dir, bytes.NewReader(raw), o)
}

// TestRestore restores over a store that went on, into a folder with the files
// alone, and into a new one.
func TestRestore(t *testing.T) {
	dir, a, b, raw, version := backedUp(t)

	t.Run("files alone", func(t *testing.T) {
		to := t.TempDir()
		if err := os.CopyFS(filepath.Join(to, "blobs"), os.DirFS(filepath.Join(dir, "blobs"))); err != nil {
			t.Fatal(err)
		}
		done, err := restore(t, to, raw, RestoreOptions{})
		if err != nil || done.Files != 73 || done.Lost != 0 || done.Header.Settings != "settings" || done.Projects != 3 {
			t.Fatalf("%+v, %v", done, err)
		}
		s := open(t, to, Options{})
		defer closeStore(t, s)
		asBefore(t, s, a, b, version)
	})
	t.Run("nothing", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "new", "data")
		done, err := restore(t, to, raw, RestoreOptions{})
		if err != nil || done.Files != 0 || done.Lost != 146 || done.Projects != 3 {
			t.Fatalf("%+v, %v", done, err)
		}
		s := open(t, to, Options{})
		defer closeStore(t, s)
		if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
			t.Error(found)
		}
		bringAll(t, s, a)
		bringAll(t, s, b)
		asBefore(t, s, a, b, version)
	})
	t.Run("over a store that went on", func(t *testing.T) {
		s := open(t, dir, Options{})
		id := s.ID()
		if err := s.DeleteProject("b"); err != nil { // its files go
			t.Fatal(err)
		}
		more := fill(t, "c", 1, 400)
		bringAll(t, s, more)
		went := s.Version()
		closeStore(t, s)
		if _, err := restore(t, dir, raw, RestoreOptions{}); !errors.Is(err, ErrOccupied) {
			t.Fatalf("over metadata: %v", err)
		}
		done, err := restore(t, dir, raw, RestoreOptions{Replace: true})
		if err != nil || done.Files != 70 || done.Lost != 6 {
			t.Fatalf("%+v, %v", done, err)
		}
		s = open(t, dir, Options{})
		defer closeStore(t, s)
		if s.ID() == id {
			t.Error("it gives out tags under its old identity")
		}
		bringAll(t, s, b)
		if err := s.PutProject(more.page); err != nil {
			t.Fatal(err)
		}
		for _, r := range more.refs { // taken over, not fetched
			if _, err := s.Begin(r, pypi.SizeUnknown); !errors.Is(err, ErrHeld) {
				t.Errorf("%s: %v", r.Filename, err)
			}
		}
		if err := s.DeleteProject("c"); err != nil {
			t.Fatal(err)
		}
		if g, _, err := s.Info("a"); err != nil || g.Generation <= went {
			t.Errorf("generation %d after %d (%v)", g.Generation, went, err)
		}
	})
}

// TestRestoreRefuses gives it everything that is no whole backup: nothing changes.
func TestRestoreRefuses(t *testing.T) {
	dir, a, b, raw, _ := backedUp(t)
	bad := map[string][]byte{
		"nothing":           nil,
		"something else":    []byte("PK\x03\x04 a zip file\n"),
		"a newer one":       append([]byte("cheeseboard backup 3\n"), raw[21:]...),
		"of newer records":  bytes.Replace(raw, []byte(`"data":1`), []byte(`"data":2`), 1),
		"something behind":  append(bytes.Clone(raw), 'x'),
		"without its end":   raw[:len(raw)-32],
		"without a byte":    raw[:len(raw)-1],
		"a header too long": append([]byte("cheeseboard backup 1\n"), bytes.Repeat([]byte("x"), maxHeader+10)...),
	}
	for i := range 12 {
		bad[fmt.Sprintf("cut %d", i)] = raw[:len(raw)*i/12]
		flipped := bytes.Clone(raw)
		flipped[21+(len(raw)-21)*i/12] ^= 8
		bad[fmt.Sprintf("flipped %d", i)] = flipped
	}
	before := tree(t, dir)
	for name, content := range bad {
		if _, err := restore(t, dir, content, RestoreOptions{Replace: true}); !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(name, "newer") && !strings.Contains(err.Error(), "newer cheeseboard") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := CheckBackup(bytes.NewReader(content)); !errors.Is(err, ErrBackup) {
			t.Errorf("%s is checked: %v", name, err)
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("the folder was\n%s, is\n%s", before, after)
	}
	if header, err := CheckBackup(bytes.NewReader(raw)); err != nil || header.Program != "test" {
		t.Errorf("%+v, %v", header, err)
	}
	s := open(t, dir, Options{})
	defer closeStore(t, s)
	asBefore(t, s, a, b, 0)
}

// tree lists a folder: what is a restore's business in it.
func tree(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range entries {
		text += e.Name() + "\n"
	}
	return text
}

// TestRestoreIsCut stops a restore at each step that renames or removes: the next
// open finds the old metadata or the new, whole.
func TestRestoreIsCut(t *testing.T) {
	pristine, a, b, raw, _ := backedUp(t)
	for step := 0; ; step++ {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(pristine)); err != nil {
			t.Fatal(err)
		}
		steps := 0
		cut := errors.New("cut")
		disk := &durable.Disk{Fault: func(what durable.Step, _ string, done bool) error {
			if what != durable.StepRename && what != durable.StepRemove || !done {
				return nil
			}
			if steps++; steps > step {
				return cut // and nothing happens any more
			}
			return nil
		}}
		_, err := restore(t, dir, raw, RestoreOptions{Replace: true, Disk: disk})
		s := open(t, dir, Options{Mend: true})
		if _, aside, asideErr := s.Aside(); aside || asideErr != nil {
			t.Errorf("after %d steps the metadata were damaged (%v)", step, asideErr)
		}
		asBefore(t, s, a, b, 0)
		closeStore(t, s)
		if err == nil {
			if step < 3 {
				t.Errorf("only %d steps were found", step)
			}
			return
		}
		if !errors.Is(err, cut) {
			t.Fatal(err)
		}
	}
}

// TestBackupWhileWriting makes backups while another goroutine changes pages that
// take several transactions: each is of one moment.
func TestBackupWhileWriting(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	one, two := fill(t, "a", 400, 10), fill(t, "a", 400, 10)
	for i := range two.page.Files {
		two.page.Files[i].RequiresPython = fmt.Sprintf(">=3.%d", i)
	}
	if err := s.PutProject(one.page); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := s.PutProject([]*pypi.Project{two.page, one.page}[i%2]); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for range 5 {
		dir := t.TempDir()
		if _, err := restore(t, dir, backup(t, s, BackupOptions{}), RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		r := open(t, dir, Options{})
		if _, found := verify(t, r, VerifyOptions{}); len(found) != 0 {
			t.Error(found)
		}
		p, _, err := r.Project("a")
		if err != nil || len(p.Files) != 400 {
			t.Fatalf("%v", err)
		}
		for i := range p.Files {
			if (p.Files[i].RequiresPython == "") != (p.Files[0].RequiresPython == "") {
				t.Fatal("a page is half of one moment, half of another")
			}
		}
		closeStore(t, r)
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// TestKeep holds what the backup in the data folder is: due once a day, without
// pages of which nothing is here, and none at all where it would be too large.
func TestKeep(t *testing.T) {
	dir, _, _, _, _ := backedUp(t)
	s := open(t, dir, Options{})
	defer closeStore(t, s)
	if kept, err := s.Keep(t.Context(), false, BackupOptions{}); !kept || err != nil {
		t.Fatal(kept, err)
	}
	if kept, err := s.Keep(t.Context(), false, BackupOptions{}); kept || err != nil {
		t.Errorf("the second: %v, %v", kept, err)
	}
	old := time.Now().Add(-keepEvery)
	if err := os.Chtimes(s.keptPath(), old, old); err != nil {
		t.Fatal(err)
	}
	if kept, err := s.Keep(t.Context(), false, BackupOptions{}); !kept || err != nil {
		t.Errorf("a day later: %v, %v", kept, err)
	}
	raw, err := os.ReadFile(s.keptPath())
	if err != nil {
		t.Fatal(err)
	}
	done, err := restore(t, t.TempDir(), raw, RestoreOptions{})
	if err != nil || done.Projects != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b, BackupOptions{Most: 1000}); !errors.Is(err, ErrFull) {
		t.Errorf("one that is too large: %v", err)
	}
}
