package storage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// uploadOf makes an upload of n bytes that a seed decides.
func uploadOf(name pypi.Name, filename string, seed, n int) Upload {
	b := content(seed, n)
	return Upload{
		Name: name,
		File: pypi.File{
			Filename: filename, Size: int64(n), RequiresPython: ">=3.9",
			Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: pypi.Digest(sha256.Sum256(b)).String()}},
		},
		Content:  bytes.NewReader(b),
		Metadata: fmt.Appendf(nil, "Metadata-Version: 2.1\nName: %s\nVersion: %d\n", name, seed),
	}
}

func digestOf(u Upload) pypi.Digest {
	d, _ := u.File.Hashes.SHA256()
	return d
}

// served fails the test if an upload is not whole in the store, with its metadata.
func served(t testing.TB, s *Store, u Upload) {
	t.Helper()
	for digest, want := range map[pypi.Digest]io.Reader{
		digestOf(u):               io.NewSectionReader(u.Content, 0, u.File.Size),
		sha256.Sum256(u.Metadata): bytes.NewReader(u.Metadata),
	} {
		f, ref, err := s.OpenFile(u.Name, digest)
		if err != nil {
			t.Errorf("%s: %v", u.File.Filename, err)
			continue
		}
		got, err := io.ReadAll(f)
		expected, _ := io.ReadAll(want) // from memory
		if cerr := f.Close(); err != nil || cerr != nil || !bytes.Equal(got, expected) || !ref.Pinned {
			t.Errorf("%s differs, or is not pinned: %+v (%v, %v)", u.File.Filename, ref, err, cerr)
		}
	}
	f, _, known, err := s.File(u.Name, digestOf(u), u.File.Filename)
	if err != nil || !known || f == nil || f.RequiresPython != u.File.RequiresPython || !f.CoreMetadata.Available {
		t.Errorf("the page has %+v (%v, %v)", f, known, err)
	}
}

func mustUpload(t testing.TB, s *Store, u Upload) {
	t.Helper()
	if err := s.Upload(u); err != nil {
		t.Fatal(err)
	}
}

func TestUpload(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Cache: 100})
	first := uploadOf("acme-x", "acme_x-1.0-py3-none-any.whl", 1, 3000)
	second := uploadOf("acme-x", "acme_x-1.1.tar.gz", 2, 200)
	mustUpload(t, s, first)
	mustUpload(t, s, second)
	before, _, _ := s.Info("acme-x")
	if err := s.Upload(first); !errors.Is(err, ErrHeld) {
		t.Errorf("the same again: %v", err)
	}
	if after, _, _ := s.Info("acme-x"); after != before {
		t.Error("the same again makes a new generation")
	}
	for _, u := range []Upload{
		uploadOf("acme-x", "acme_x-1.0-py3-none-any.whl", 3, 3000),
		uploadOf("acme-x", "Acme.X-1.0.0-PY3-none-any.whl", 3, 3000), // for pip the same
		uploadOf("acme-x", "acme-x-1.1.0.tar.gz", 3, 3000),
		uploadOf("acme-x", "acme_x-2.0-py3-none-any.whl", 1, 3000), // these bytes have another name
	} {
		var taken *TakenError
		if err := s.Upload(u); !errors.As(err, &taken) || !strings.Contains(err.Error(), "already exists") {
			t.Errorf("%s: %v", u.File.Filename, err)
		}
	}
	foreign := fill(t, "acme-x", 1, 10)
	if err := s.PutProject(foreign.page); !errors.Is(err, ErrPrivate) {
		t.Errorf("an upstream's page is taken: %v", err)
	}
	other := fill(t, "b", 1, 10)
	errs := s.PutProjects([]Update{{Project: foreign.page}, {Project: other.page}})
	if !errors.Is(errs[0], ErrPrivate) || errs[1] != nil {
		t.Errorf("an upstream's pages: %v", errs)
	}
	if _, known, _ := s.Info("b"); !known {
		t.Error("one private project keeps others out")
	}
	if err := s.DeleteProject("acme-x"); !errors.Is(err, ErrPrivate) {
		t.Errorf("it may be deleted: %v", err)
	}
	if err := s.Pin("acme-x", digestOf(first), false); err != nil {
		t.Error(err)
	}
	for i := range other.refs { // beyond the quota: what is only cached goes
		other.refs[i].Pinned = false
		if err := bring(s, other, other.refs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.evict(1 << 20); err != nil {
		t.Error(err)
	}
	if held, err := s.Held("b"); err != nil || len(held) != 0 {
		t.Errorf("what is only cached stays: %v, %v", held, err)
	}
	check := func(s *Store) {
		t.Helper()
		served(t, s, first)
		served(t, s, second)
		page, _, err := s.Project("acme-x")
		if err != nil || !slices.Equal(page.Versions, []string{"1.0", "1.1"}) || len(page.Files) != 2 {
			t.Errorf("%+v, %v", page, err)
		}
		if !s.Private("acme-x") || s.Private("b") {
			t.Error("what is private is not known")
		}
		sound(t, s)
	}
	check(s)
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	check(s)
}

// TestUploadTakesTheName uploads under a name of which an upstream's page is here.
func TestUploadTakesTheName(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	foreign := fill(t, "acme", 70, 50)
	bringAll(t, s, foreign)
	if err := s.SetState("acme", []byte("{}"), Mark{List: "wish"}); err != nil {
		t.Fatal(err)
	}
	u := uploadOf("acme", "acme-1.0-py3-none-any.whl", 9, 500)
	mustUpload(t, s, u)
	served(t, s, u)
	held, err := s.Held("acme")
	if err != nil || len(held) != 2 {
		t.Errorf("%d references, %v", len(held), err)
	}
	if note, err := s.State("acme"); note != nil || err != nil {
		t.Errorf("the note of the upstream stays: %q, %v", note, err)
	}
	if _, err := s.blobs.Size(foreign.refs[0].Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("the upstream's file stays: %v", err)
	}
	sound(t, s)
}

// TestUploadFailsEverywhere fails each durable step of an upload, before it happened
// and after it, and opens the folder again as after a cut: nothing is half, what was
// acknowledged is there, and the upload can be made again.
func TestUploadFailsEverywhere(t *testing.T) {
	fault := errors.New("injected")
	first := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000)
	second := uploadOf("acme", "acme-1.1-py3-none-any.whl", 2, 2000)
	acknowledged := 0
	stride := 8 // each step takes two stores to be opened
	if os.Getenv("CHEESEBOARD_TEST_LONG") != "" {
		stride = 1
	}
	for n := 0; ; n += stride {
		dir := t.TempDir()
		count, hit := 0, ""
		disk := &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
			if strings.Contains(path, "partial") || strings.Contains(path, "blobs") {
				if count++; count == n+1 {
					hit = fmt.Sprintf("%s %s done=%v", step, filepath.Base(filepath.Dir(path)), done)
				}
				if hit != "" {
					return fault // nothing later happens either
				}
			}
			return nil
		}}
		errs := []error{fault, fault}
		if s, err := Open(dir, Options{Reserve: -1, Disk: disk}); err == nil {
			if errs[0] = s.Upload(first); errs[0] == nil {
				errs[1] = s.Upload(second)
			}
			closeStore(t, s)
		}
		s := open(t, dir, Options{})
		if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
			t.Errorf("after %q: %v", hit, found)
		}
		for i, u := range []Upload{first, second} {
			switch held, err := s.Held("acme"); {
			case err != nil:
				t.Error(err)
			case errs[i] == nil:
				served(t, s, u)
				acknowledged++
			case held[digestOf(u)].Name == "":
				// Nothing of it is left: other bytes may have its name.
				u.Content, u.File.Hashes = uploadOf("acme", "", i+7, int(u.File.Size)).Content, uploadOf("acme", "", i+7, int(u.File.Size)).File.Hashes
				mustUpload(t, s, u)
				served(t, s, u)
			default:
				if err := s.Upload(u); !errors.Is(err, ErrHeld) {
					t.Errorf("after %q: %v", hit, err)
				}
				served(t, s, u)
			}
		}
		sound(t, s)
		if list, err := s.Waiting(); err != nil || len(list) > 2 {
			t.Errorf("after %q: %v, %v", hit, list, err)
		}
		closeStore(t, s)
		if hit == "" {
			if n < 30 || acknowledged < 4 {
				t.Fatalf("only %d steps were seen, %d uploads acknowledged", n, acknowledged)
			}
			return
		}
	}
}

// TestUploadDamage damages a private file in each way: it is named, nobody is asked
// for it, and uploading it again makes all well.
func TestUploadDamage(t *testing.T) {
	for how, damage := range map[string]func(*testing.T, *Store, pypi.Digest){
		"flipped": func(t *testing.T, s *Store, d pypi.Digest) { flipBit(t, s, d) },
		"lost":    removeFile,
	} {
		t.Run(how, func(t *testing.T) {
			s := open(t, t.TempDir(), Options{})
			defer closeStore(t, s)
			u := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000)
			other := uploadOf("acme", "acme-1.1-py3-none-any.whl", 2, 3000)
			mustUpload(t, s, u)
			mustUpload(t, s, other)
			damage(t, s, digestOf(u))
			_, found := verify(t, s, VerifyOptions{Repair: true})
			if len(found) != 1 || found[0].What != u.File.Filename || found[0].Project != "acme" || !strings.Contains(found[0].Detail, "upload it again") {
				t.Fatalf("%+v", found)
			}
			lost, err := s.Lost()
			if err != nil || len(lost) != 1 || lost[0].Filename != u.File.Filename {
				t.Errorf("%+v, %v", lost, err)
			}
			var taken *TakenError
			changed := uploadOf("acme", "acme-1.0-py3-none-any.whl", 3, 3000)
			if err := s.Upload(changed); !errors.As(err, &taken) {
				t.Errorf("other bytes take the name of lost ones: %v", err)
			}
			mustUpload(t, s, u)
			served(t, s, u)
			served(t, s, other)
			sound(t, s)
			if lost, err := s.Lost(); err != nil || len(lost) != 0 {
				t.Errorf("%+v, %v", lost, err)
			}
		})
	}
}

// TestUploadIsBackedUp restores a store with a private project from both kinds of
// backup: it is private again, and its files are taken over.
func TestUploadIsBackedUp(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	u := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000)
	mustUpload(t, s, u)
	raws := [][]byte{backup(t, s, BackupOptions{}), backup(t, s, BackupOptions{Stocked: true})}
	closeStore(t, s)
	for _, raw := range raws {
		if _, err := restore(t, dir, raw, RestoreOptions{Replace: true}); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, Options{})
		if !s.Private("acme") {
			t.Error("it is not private any more")
		}
		served(t, s, u)
		sound(t, s)
		closeStore(t, s)
	}
}

// TestUploadWithoutRoom refuses what does not fit, and leaves nothing.
func TestUploadWithoutRoom(t *testing.T) {
	free := int64(1 << 40)
	s := open(t, t.TempDir(), Options{Free: func(string) (int64, error) { return free, nil }})
	defer closeStore(t, s)
	u := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000)
	free = 1000
	if err := s.Upload(u); !errors.Is(err, ErrFull) {
		t.Errorf("without room: %v", err)
	}
	if _, known, err := s.Info("acme"); known || err != nil || s.Private("acme") {
		t.Errorf("something is left: %v, %v", known, err)
	}
	free = 1 << 40
	mustUpload(t, s, u)
	served(t, s, u)
}

// TestUploadAgainMakesTheNameLast: an upload whose bytes got their name, and then the
// folder could not be synced, is not acknowledged. The next one finds the bytes there,
// and must not take that for durable.
func TestUploadAgainMakesTheNameLast(t *testing.T) {
	u := uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 3000)
	hex := digestOf(u).String()
	fault, broken, synced := errors.New("injected"), true, 0
	s := open(t, t.TempDir(), Options{Disk: &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
		switch {
		case step != durable.StepSyncDir || !strings.HasSuffix(path, filepath.Join("blobs", hex[:2])):
		case broken:
			return fault
		case done:
			synced++
		}
		return nil
	}}})
	defer closeStore(t, s)
	if err := s.Upload(u); !errors.Is(err, fault) {
		t.Fatalf("with a folder that cannot be synced: %v", err)
	}
	broken = false
	mustUpload(t, s, u)
	if synced == 0 {
		t.Error("acknowledged, and the name of the bytes may be gone after a power cut")
	}
	served(t, s, u)
}
