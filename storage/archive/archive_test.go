package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"cheeseboard/storage/pypi"
)

const about = "Metadata-Version: 2.1\nName: Acme.X\nVersion: 1.0\nRequires-Python: >=3.9\n\nWords.\n"

// file is one entry of an archive.
type file struct{ name, text string }

func makeWheel(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f.name)
		if err == nil {
			_, err = io.WriteString(w, f.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func makeSdist(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o644, Typeflag: tar.TypeReg})
		if err == nil {
			_, err = io.WriteString(w, f.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	wheelName = "acme_x-1.0-py3-none-any.whl"
	sdistName = "acme_x-1.0.tar.gz"
)

var (
	module   = file{"acme_x/__init__.py", "x = 1\n"}
	metadata = file{"acme_x-1.0.dist-info/METADATA", about}
)

func read(b []byte, filename string) (Metadata, error) {
	return Read(bytes.NewReader(b), int64(len(b)), "acme-x", filename)
}

func TestRead(t *testing.T) {
	for filename, b := range map[string][]byte{
		wheelName:                           makeWheel(t, module, metadata),
		"Acme.X-1.0.0-py3-none-any.whl":     makeWheel(t, metadata),
		sdistName:                           makeSdist(t, file{"acme_x-1.0/setup.py", ""}, file{"acme_x-1.0/PKG-INFO", about}),
		"acme-x-1.0.tar.gz":                 makeSdist(t, file{"./Acme.X-1.0/PKG-INFO", about}, file{"./Acme.X-1.0/a/PKG-INFO", "no"}),
		"acme_x-1.0-2-py2.py3-none-any.whl": makeWheel(t, file{"acme_x-1.0.0.dist-info/METADATA", about}, file{"x.data/METADATA", ""}),
	} {
		m, err := read(b, filename)
		if err != nil || string(m.Raw) != about || m.RequiresPython != ">=3.9" {
			t.Errorf("%s: %q, %v", filename, m.Raw, err)
		}
	}
}

// swap replaces bytes of an archive once.
func swap(b []byte, old, fresh string) []byte {
	return bytes.Replace(bytes.Clone(b), []byte(old), []byte(fresh), 1)
}

func TestReadRefuses(t *testing.T) {
	good := makeWheel(t, module, metadata)
	bomb := strings.Repeat("\x00", freely+1)
	for _, c := range []struct {
		what, filename string
		raw            []byte
		why            string
	}{
		{"nothing", wheelName, nil, "no zip"},
		{"words", wheelName, []byte("hello"), "no zip"},
		{"cut short", wheelName, good[:len(good)-1], "no zip"},
		{"something before it", wheelName, append([]byte("#!/bin/sh\n"), good...), "not where it says"},
		{"something behind it", wheelName, append(bytes.Clone(good), 0), "no zip"},
		{"no metadata", wheelName, makeWheel(t, module), "no METADATA"},
		{"metadata deeper down", wheelName, makeWheel(t, file{"a/acme_x-1.0.dist-info/METADATA", about}), "no METADATA"},
		{"metadata twice", wheelName, makeWheel(t, metadata, metadata), "twice"},
		{"metadata twice, in two folders", wheelName, makeWheel(t, metadata, file{"acme.x-1.0.dist-info/METADATA", about}), "twice"},
		{"an entry twice but for its case", wheelName, makeWheel(t, metadata, module, file{"ACME_X/__init__.py", ""}), "twice"},
		{"another project's folder", wheelName, makeWheel(t, metadata, file{"requests-9.dist-info/METADATA", about}), "not called after"},
		{"another version's folder", wheelName, makeWheel(t, file{"acme_x-2.0.dist-info/METADATA", about}), "not called after"},
		{"another project's metadata", wheelName, makeWheel(t, file{metadata.name, strings.Replace(about, "Acme.X", "requests", 1)}), "its metadata are those of requests"},
		{"another version's metadata", wheelName, makeWheel(t, file{metadata.name, strings.Replace(about, "1.0", "1.1", 1)}), "1.1"},
		{"metadata without a name", wheelName, makeWheel(t, file{metadata.name, "Version: 1.0\n"}), "states no name"},
		{"a way out", wheelName, makeWheel(t, metadata, file{"acme_x/../../etc/x", ""}), "unsafe"},
		{"an absolute way", wheelName, makeWheel(t, metadata, file{"/etc/x", ""}), "unsafe"},
		{"a drive", wheelName, makeWheel(t, metadata, file{"C:x", ""}), "unsafe"},
		{"a backslash", wheelName, makeWheel(t, metadata, file{`a\..\x`, ""}), "unsafe"},
		{"a bomb", wheelName, makeWheel(t, metadata, file{"acme_x/zeros", bomb}), "unpacked"},
		{"endless metadata", wheelName, makeWheel(t, file{metadata.name, about + bomb[:maxMetadata]}), "at most"},
		{"another name at the entry", wheelName, swap(good, metadata.name, "acme_x-1.0.dist-info/METADATE"), "two things"},
		{"an egg", "acme_x-1.0-py3.egg", good, "neither"},
		{"a zip for a sdist", "acme_x-1.0.zip", good, "neither"},
		{"another project's file name", "requests-1.0-py3-none-any.whl", good, "belongs to requests"},

		{"no sdist", sdistName, []byte("hello"), "cannot be unpacked"},
		{"a sdist cut short", sdistName, makeSdist(t, file{"acme_x-1.0/PKG-INFO", about})[:60], "cannot be unpacked"},
		{"a sdist without metadata", sdistName, makeSdist(t, file{"acme_x-1.0/a/PKG-INFO", about}), "no PKG-INFO"},
		{"a sdist of nothing", sdistName, makeSdist(t), "no PKG-INFO"},
		{"PKG-INFO twice", sdistName, makeSdist(t, file{"acme_x-1.0/PKG-INFO", about}, file{"acme_x-1.0/PKG-INFO", about}), "twice"},
		{"a second folder", sdistName, makeSdist(t, file{"acme_x-1.0/PKG-INFO", about}, file{"other/x", ""}), "one that is called after"},
		{"another folder", sdistName, makeSdist(t, file{"acme_x-1.1/PKG-INFO", about}), "one that is called after"},
		{"a way out of a sdist", sdistName, makeSdist(t, file{"acme_x-1.0/../x", about}), "unsafe"},
		{"a bomb of a sdist", sdistName, makeSdist(t, file{"acme_x-1.0/PKG-INFO", about}, file{"acme_x-1.0/zeros", bomb}), "unpacked"},
		{"endless PKG-INFO", sdistName, makeSdist(t, file{"acme_x-1.0/PKG-INFO", about + bomb[:maxMetadata]}), "at most"},
	} {
		m, err := read(c.raw, c.filename)
		var f *Fault
		if !errors.As(err, &f) || !strings.Contains(f.Reason, c.why) {
			t.Errorf("%s: %q, %v; want %q", c.what, m.Raw, err, c.why)
		}
	}
}

// TestReadOfABadDisk tells the disk's error from the archive's.
func TestReadOfABadDisk(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, name := range []string{wheelName, sdistName} {
		_, err := Read(failing{broken}, 1000, "acme-x", name)
		var f *Fault
		if !errors.Is(err, broken) || errors.As(err, &f) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// FuzzRead reads whatever comes: no panic, and of what is taken name and version
// are right.
func FuzzRead(f *testing.F) {
	wheel, sdist := makeWheel(f, module, metadata), makeSdist(f, file{"acme_x-1.0/PKG-INFO", about})
	f.Add(wheel, true)
	f.Add(sdist, false)
	for i := range 8 {
		b := bytes.Clone(wheel)
		b[len(b)-1-i*7] ^= 0xff
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, isWheel bool) {
		filename := sdistName
		if isWheel {
			filename = wheelName
		}
		m, err := read(b, filename)
		if err != nil {
			return
		}
		again, err := pypi.ParseCoreMetadata(m.Raw)
		if err != nil || m.Name != "acme-x" || fmt.Sprint(again) != fmt.Sprint(m.CoreMetadataFields) {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
