package storage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/storage/durable"
)

// ownAndForeign makes a store with two private files and a mirrored project.
func ownAndForeign(t *testing.T) (s *Store, foreign *shelf, own []Upload) {
	t.Helper()
	s = open(t, t.TempDir(), Options{})
	t.Cleanup(func() { closeStore(t, s) })
	foreign = fill(t, "mirrored", 2, 3000)
	bringAll(t, s, foreign)
	own = []Upload{
		uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 700_000), // several blocks
		uploadOf("acme-x", "acme_x-1.0.tar.gz", 2, 10),
	}
	for _, u := range own {
		mustUpload(t, s, u)
	}
	return s, foreign, own
}

// TestBackupHasPrivateFiles restores into an empty folder, as after a disk has died:
// what was uploaded is there, byte for byte, and nothing of what can be fetched.
func TestBackupHasPrivateFiles(t *testing.T) {
	s, foreign, own := ownAndForeign(t)
	raw := backup(t, s, BackupOptions{})
	if stocked := backup(t, s, BackupOptions{Stocked: true}); !bytes.HasPrefix(stocked, []byte("cheeseboard backup 1\n")) {
		t.Error("an older program cannot read the kept backup")
	}
	for _, twice := range []bool{false, true} {
		dir := t.TempDir()
		for range 1 + map[bool]int{true: 1}[twice] { // the second time over what is there
			done, err := restore(t, dir, raw, RestoreOptions{Replace: true})
			if err != nil || done.Private != 4 || done.Files != 2 || done.Lost == 0 {
				t.Fatalf("%+v, %v", done, err)
			}
		}
		restored := open(t, dir, Options{})
		for _, u := range own {
			served(t, restored, u)
		}
		if _, err := restored.blobs.Size(foreign.refs[0].Digest); !errors.Is(err, ErrNotFound) {
			t.Errorf("a file that can be fetched is in the backup: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, filesComing)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("something is left over: %v", err)
		}
		sound(t, restored)
		closeStore(t, restored)
	}
}

// TestBackupOfDamage backs up a store whose disk has changed one private file and lost
// another: the rest is in it.
func TestBackupOfDamage(t *testing.T) {
	for how, damage := range map[string]func(*testing.T, *Store, Upload){
		"flipped": func(t *testing.T, s *Store, u Upload) { flipBit(t, s, digestOf(u)) },
		"lost":    func(t *testing.T, s *Store, u Upload) { removeFile(t, s, digestOf(u)) },
	} {
		t.Run(how, func(t *testing.T) {
			s, _, own := ownAndForeign(t)
			damage(t, s, own[0])
			dir := t.TempDir()
			done, err := restore(t, dir, backup(t, s, BackupOptions{}), RestoreOptions{})
			if err != nil || done.Private != 3 {
				t.Fatalf("%+v, %v", done, err)
			}
			restored := open(t, dir, Options{})
			defer closeStore(t, restored)
			served(t, restored, own[1])
			lost, err := restored.Lost()
			named := false
			for _, r := range lost {
				named = named || r.Digest == digestOf(own[0])
			}
			if err != nil || !named {
				t.Errorf("nobody is told that it is lost: %+v, %v", lost, err)
			}
		})
	}
}

// TestRestoreRefusesFiles changes a backup where its files are: it is refused, and
// nothing of it is left.
func TestRestoreRefusesFiles(t *testing.T) {
	s, _, own := ownAndForeign(t)
	raw := backup(t, s, BackupOptions{})
	content := make([]byte, own[0].File.Size)
	if _, err := own[0].Content.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, content)
	if at < 0 {
		t.Fatal("the file is not in the backup")
	}
	dir := t.TempDir()
	for name, bad := range map[string][]byte{
		"a byte of a file":   flipped(raw, at+1000),
		"its digest":         flipped(raw, at-10),
		"its length":         flipped(raw, at-2),
		"what it begins as":  flipped(raw, at-36),
		"cut in it":          raw[:at+1000],
		"cut before it":      raw[:at],
		"the digest of all":  flipped(raw, len(raw)-1),
		"without the digest": raw[:len(raw)-32],
	} {
		if _, err := restore(t, dir, bad, RestoreOptions{}); !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := CheckBackup(bytes.NewReader(bad)); !errors.Is(err, ErrBackup) {
			t.Errorf("%s is checked: %v", name, err)
		}
		if left := tree(t, dir); strings.Contains(left, "new") || strings.Contains(left, "meta") {
			t.Errorf("%s leaves\n%s", name, left)
		}
	}
}

func flipped(raw []byte, at int) []byte {
	raw = bytes.Clone(raw)
	raw[at] ^= 8
	return raw
}

// TestRestoreOfFilesIsCut stops a restore at each step that renames, makes or removes
// something: the next open finds nothing of it, or all.
func TestRestoreOfFilesIsCut(t *testing.T) {
	s, _, own := ownAndForeign(t)
	raw := backup(t, s, BackupOptions{})
	cut := errors.New("cut")
	whole := 0
	for step := 0; ; step++ {
		dir := t.TempDir()
		steps := 0
		disk := &durable.Disk{Fault: func(what durable.Step, _ string, done bool) error {
			if what == durable.StepRename && done || what == durable.StepRemove && done {
				if steps++; steps > step {
					return cut // and nothing happens any more
				}
			} else if steps > step {
				return cut
			}
			return nil
		}}
		_, err := restore(t, dir, raw, RestoreOptions{Disk: disk})
		s := open(t, dir, Options{Mend: true})
		if s.Private("acme") {
			whole++
			for _, u := range own {
				served(t, s, u)
			}
		} else if names := s.Privates(); len(names) > 0 {
			t.Errorf("after %d steps there are %v", step, names)
		}
		if _, aside, asideErr := s.Aside(); aside || asideErr != nil {
			t.Errorf("after %d steps the metadata were damaged (%v)", step, asideErr)
		}
		if _, serr := os.Stat(filepath.Join(dir, filesComing)); !errors.Is(serr, os.ErrNotExist) {
			t.Errorf("after %d steps files are left over: %v", step, serr)
		}
		closeStore(t, s)
		if err == nil {
			if step < 8 || whole < 4 {
				t.Errorf("only %d steps were found, after %d of them all was there", step, whole)
			}
			return
		}
		if !errors.Is(err, cut) {
			t.Fatal(err)
		}
	}
}

// FuzzCheckBackup: no file makes the reader of backups panic, or believe what has not
// the digest at its end. Seeds are true ones, whose digest the fuzzer cannot make: it is
// made for it.
func FuzzCheckBackup(f *testing.F) {
	s := open(f, f.TempDir(), Options{})
	mustUpload(f, s, uploadOf("acme", "acme-1.0-py3-none-any.whl", 1, 50))
	for _, stocked := range []bool{false, true} {
		raw := backup(f, s, BackupOptions{Stocked: stocked})
		f.Add(raw[:len(raw)-sha256.Size])
	}
	closeStore(f, s)
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		whole := append(bytes.Clone(body), sum[:]...)
		_, err := CheckBackup(bytes.NewReader(whole))
		if err != nil && !errors.Is(err, ErrBackup) {
			t.Errorf("not said to be a bad backup: %v", err)
		}
		sum[0] ^= 1
		if _, err := CheckBackup(bytes.NewReader(append(bytes.Clone(body), sum[:]...))); err == nil {
			t.Error("a backup with a wrong digest is believed")
		}
	})
}
