package storage

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// snapshot copies a data folder while it is open, as a kill would leave it.
func snapshot(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// spoil edits every entry whose key has the prefix, in the logs of a folder that
// is not open, and makes the log's own checksums right again. It gives the number
// of entries. A log's entry is: two bytes, the lengths of key and value and an
// expiry as varints, key, value, CRC-32C of all that.
func spoil(t *testing.T, dir, prefix string, edit func(key, value []byte)) int {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "meta", "*.mem"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	n := 0
	for _, path := range logs {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; ; at++ {
			i := bytes.Index(raw[at:], []byte(prefix))
			if i < 0 {
				break
			}
			if at += i; edited(raw, at, edit) {
				n++
			}
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		t.Fatalf("no entry has a key that begins with %q", prefix)
	}
	return n
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// edited edits the entry whose key begins at the offset, if there is one.
func edited(raw []byte, key int, edit func(key, value []byte)) bool {
	for header := 5; header < 20 && header <= key; header++ {
		from := key - header
		rest := raw[from+2 : key]
		keyLen, a := binary.Uvarint(rest)
		valueLen, b := binary.Uvarint(rest[max(a, 0):])
		if a <= 0 || b <= 0 {
			continue
		}
		if _, c := binary.Uvarint(rest[a+b:]); c <= 0 || 2+a+b+c != header {
			continue
		}
		if keyLen > uint64(len(raw)) || valueLen > uint64(len(raw)) {
			continue
		}
		value := key + int(keyLen)
		end := value + int(valueLen)
		if end+4 > len(raw) || crc32.Checksum(raw[from:end], castagnoli) != binary.BigEndian.Uint32(raw[end:]) {
			continue
		}
		edit(raw[key:value], raw[value:end])
		binary.BigEndian.PutUint32(raw[end:], crc32.Checksum(raw[from:end], castagnoli))
		return true
	}
	return false
}

// What can befall an entry.
var (
	flip = func(_, value []byte) {
		if len(value) > 0 {
			value[len(value)/2] ^= 1
		}
	}
	lose = func(key, _ []byte) { key[0] = 'x' } // no key of ours begins so
)

// spoilt brings a shelf into a store, and gives a copy of it with spoilt entries.
func spoilt(t *testing.T, sh *shelf, prefix string, edit func(key, value []byte)) *Store {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir, Options{})
	bringAll(t, s, sh)
	if err := s.SetState(sh.page.Name, []byte("etag")); err != nil {
		t.Fatal(err)
	}
	copied := snapshot(t, dir)
	closeStore(t, s)
	spoil(t, copied, prefix, edit)
	s = open(t, copied, Options{})
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// TestVerifyFindsInRecords damages or loses records. Whatever it is, no file
// that the page names is removed by a repair, and all is well after the page has
// been stored and the files brought again.
func TestVerifyFindsInRecords(t *testing.T) {
	for _, c := range []struct {
		name   string
		prefix string
		edit   func(key, value []byte)
		fault  Fault
		mended bool // by the repair alone
	}{
		{"page damaged", "p/a", flip, FaultPage, false},
		{"page lost", "p/a", lose, FaultPage, false},
		{"name damaged", "n/a", flip, FaultPage, true},
		{"name lost", "n/a", lose, FaultPage, true},
		{"references damaged", "r/a\x00", flip, FaultReference, true},
		{"references lost", "r/a\x00", lose, FaultUnreferenced, true},
		{"other side lost", "b/", lose, FaultUnreferenced, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := fill(t, "a", 2, 2000)
			s := spoilt(t, sh, c.prefix, c.edit)
			_, found := verify(t, s, VerifyOptions{})
			if len(found) == 0 || found[0].Fault != c.fault {
				t.Fatalf("found %+v, want %s", found, c.fault)
			}
			_, repaired := verify(t, s, VerifyOptions{Repair: true})
			if len(repaired) != len(found) {
				t.Errorf("found %d, repairing %d: %+v", len(found), len(repaired), repaired)
			}
			for _, f := range repaired {
				if f.Repaired != c.mended {
					t.Errorf("repaired: %+v", f)
				}
			}
			if c.fault == FaultPage && !c.mended {
				if state, err := s.State("a"); state != nil || err != nil {
					t.Errorf("the state %q would keep the page from coming again (%v)", state, err)
				}
				if err := s.PutProject(sh.page); err != nil {
					t.Fatal(err)
				}
			}
			for digest := range sh.bytes {
				if _, err := s.blobs.Size(digest); err != nil {
					t.Errorf("the repair removed a file: %v", err)
				}
			}
			if _, again := verify(t, s, VerifyOptions{}); len(again) != 0 {
				t.Errorf("after the repair: %+v", again)
			}
			bringAll(t, s, sh)
			whole(t, s, sh)
		})
	}
}

// TestOneDamagedPageLeavesTheRest holds that a record of one project keeps
// neither the folder closed nor the other projects from being read.
func TestOneDamagedPageLeavesTheRest(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	a, b := fill(t, "a", 2, 2000), fill(t, "b", 2, 2000)
	bringAll(t, s, b)
	if err := s.PutProject(a.page); err != nil {
		t.Fatal(err)
	}
	// It has its name and waits to be recorded.
	in, err := s.Begin(a.refs[0], 2000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(a.bytes[a.refs[0].Digest]); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Finish(); err != nil {
		t.Fatal(err)
	}
	copied := snapshot(t, dir)
	closeStore(t, s)
	spoil(t, copied, "p/a", flip)
	s = open(t, copied, Options{})
	defer closeStore(t, s)
	whole(t, s, b)
	if _, _, err := s.Project("a"); err == nil || !strings.Contains(err.Error(), "a") {
		t.Errorf("the damaged page gives %v", err)
	}
	if _, err := s.blobs.Size(a.refs[0].Digest); err != nil {
		t.Errorf("the file that waited is gone: %v", err)
	}
	bringAll(t, s, a)
	whole(t, s, a)
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}
