package ring

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLast: the last lines are kept, whole, in bounded memory.
func TestLast(t *testing.T) {
	r := New(1000)
	for n := range 10000 {
		_, _ = fmt.Fprintf(r, "line %d\n", n)
	}
	got := string(r.Bytes())
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(got) > 1000 || len(got) < 900 || lines[len(lines)-1] != "line 9999" {
		t.Errorf("%d bytes, the last %q", len(got), lines[len(lines)-1])
	}
	for i, line := range lines {
		if want := fmt.Sprintf("line %d", 10000-len(lines)+i); line != want {
			t.Fatalf("line %d is %q, want %q", i, line, want)
		}
	}
	if cap(r.b) > 4000 {
		t.Errorf("%d bytes of memory", cap(r.b))
	}
}

// TestFlush: what is new goes to the card once, and no more than the cap of a day.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r, f := New(64<<10), &Files{Folder: filepath.Join(dir, "log"), Name: "messages"}
		read := func() []byte {
			b, err := os.ReadFile(filepath.Join(dir, "log", "messages"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		flush := func() {
			if err := f.Flush(r); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = r.Write([]byte("one\ntwo\n"))
		flush()
		flush()
		_, _ = r.Write([]byte("three\n"))
		flush()
		if got := string(read()); got != "one\ntwo\nthree\n" {
			t.Fatalf("%q", got)
		}
		line := append(bytes.Repeat([]byte("x"), 1023), '\n')
		for range 30 { // a day of a program that complains all the time
			for range 60 {
				_, _ = r.Write(line)
			}
			flush()
			time.Sleep(30 * time.Minute)
		}
		if got := len(read()); got > DayCap || got < DayCap-2048 {
			t.Errorf("%d bytes were written in a day", got)
		}
		time.Sleep(24 * time.Hour)
		_, _ = r.Write([]byte("the next day\n"))
		flush()
		if !bytes.HasSuffix(read(), []byte("the next day\n")) {
			t.Error("the next day nothing is written")
		}
	})
}

// TestTurn: the file does not grow for ever, and the one before it is kept.
func TestTurn(t *testing.T) {
	dir := t.TempDir()
	old := bytes.Repeat([]byte("old\n"), FileCap/4+1)
	if err := os.WriteFile(filepath.Join(dir, "messages"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	r, f := New(1000), &Files{Folder: dir, Name: "messages"}
	_, _ = r.Write([]byte("new\n"))
	if err := f.Flush(r); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(filepath.Join(dir, "messages"))
	before, err2 := os.ReadFile(filepath.Join(dir, "messages.1"))
	if err != nil || err2 != nil || string(now) != "new\n" || !bytes.Equal(before, old) {
		t.Errorf("%q and %d bytes: %v, %v", now, len(before), err, err2)
	}
}
