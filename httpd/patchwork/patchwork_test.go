package patchwork

import (
	"bytes"
	stdgzip "compress/gzip"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func scratch(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "sewn"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// texts makes pieces of them.
func texts(all []string) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		for _, s := range all {
			p := Piece{Key: sha256.Sum256([]byte(s)), Append: func(b []byte) []byte { return append(b, s...) }}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func sew(t testing.TB, old *Stream, all []string) (*Stream, Stats) {
	t.Helper()
	s, stats, err := Sew(scratch(t), old, texts(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	})
	return s, stats
}

// holds compares a stream with its text, by the standard library's reader, which
// checks sum and length, and refuses a second member.
func holds(t *testing.T, s *Stream, all []string) {
	t.Helper()
	want := strings.Join(all, "")
	packed, err := io.ReadAll(s.Gzip())
	if err != nil || int64(len(packed)) != s.Size() {
		t.Fatalf("%d bytes, want %d (%v)", len(packed), s.Size(), err)
	}
	z, err := stdgzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	got, err := io.ReadAll(z)
	if err != nil || string(got) != want || s.Length() != int64(len(want)) {
		t.Fatalf("%d bytes of text, want %d (%v)", len(got), len(want), err)
	}
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(text); err != nil || string(got) != want {
		t.Errorf("Text gives %d bytes (%v)", len(got), err)
	}
	if err := text.Close(); err != nil {
		t.Error(err)
	}
}

// TestSew changes, adds, removes and moves pieces, and counts what was packed.
func TestSew(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string { return strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(5000)) + "\n" }
	var all []string
	for range 40 {
		all = append(all, word())
	}
	s, stats := sew(t, nil, all)
	if stats.Pieces != 40 || stats.Packed != 40 {
		t.Errorf("at first: %+v", stats)
	}
	holds(t, s, all)
	for round := range 20 {
		changed := bytes.Clone([]byte(word()))
		switch i := r.IntN(len(all)); round % 4 {
		case 0:
			all[i] = string(changed)
		case 1:
			all = append(all[:i:i], append([]string{string(changed)}, all[i:]...)...)
		case 2:
			all = append(all[:i:i], all[i+1:]...)
		case 3:
			all[0], all[i] = all[i], all[0]
		}
		s, stats = sew(t, s, all)
		if stats.Pieces != len(all) || stats.Packed > 1 {
			t.Errorf("round %d: %+v", round, stats)
		}
		holds(t, s, all)
	}
}

// TestSewIsDeterministic: a strong entity tag stands for the bytes, so copying
// must give the same ones as packing.
func TestSewIsDeterministic(t *testing.T) {
	all := []string{strings.Repeat("stilton", 900), strings.Repeat("brie", 700), "feta"}
	first, _ := sew(t, nil, all[:2])
	copied, stats := sew(t, first, all)
	fresh, _ := sew(t, nil, all)
	if stats.Packed != 1 {
		t.Errorf("%+v", stats)
	}
	a, err := io.ReadAll(copied.Gzip())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(fresh.Gzip()); err != nil || !bytes.Equal(a, b) {
		t.Errorf("copied and packed differ (%v)", err)
	}
}

// TestOthersRead has the stream unpacked by gzip and by Python's zlib.
func TestOthersRead(t *testing.T) {
	all := []string{"", strings.Repeat("gouda ", 10000), "edam", strings.Repeat("\x00", 70000)}
	s, _ := sew(t, nil, all)
	packed, err := io.ReadAll(s.Gzip())
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"gzip", "-dc"},
		{"python3", "-c", "import sys,zlib\nd=zlib.decompressobj(31)\nsys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()))\nassert d.eof and not d.unused_data"},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin = bytes.NewReader(packed)
		out, err := cmd.Output()
		if errors.Is(err, exec.ErrNotFound) {
			t.Logf("%s is not installed", command[0])
			continue
		}
		if err != nil || string(out) != strings.Join(all, "") {
			t.Errorf("%s gives %d bytes (%v)", command[0], len(out), err)
		}
	}
}

// TestSewFails: an error of the text makes no stream, and closes the file.
func TestSewFails(t *testing.T) {
	broken := errors.New("the list broke off")
	f := scratch(t)
	_, _, err := Sew(f, nil, func(yield func(Piece, error) bool) { yield(Piece{}, broken) })
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was left open (%v)", err)
	}
	f = scratch(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Sew(f, nil, texts([]string{"a"})); err == nil {
		t.Error("a file that cannot be written gives no error")
	}
}

// TestHold keeps the file open for those who read, and no longer.
func TestHold(t *testing.T) {
	s, _, err := Sew(scratch(t), nil, texts([]string{"a"}))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Hold() {
		t.Fatal("it cannot be held")
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(s.Gzip()); err != nil {
		t.Errorf("it is held, and cannot be read: %v", err)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if s.Hold() {
		t.Error("it is closed, and can be held")
	}
	if _, err := io.ReadAll(s.Gzip()); err == nil {
		t.Error("it is closed, and can be read")
	}
}

// FuzzCombine holds the combined sum to that of the whole.
func FuzzCombine(f *testing.F) {
	f.Add([]byte("brie"), []byte("feta"))
	f.Add([]byte{}, []byte{0, 0, 0})
	f.Add([]byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got := combine(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), int64(len(b)))
		if want := crc32.ChecksumIEEE(append(bytes.Clone(a), b...)); got != want {
			t.Errorf("%08x, want %08x", got, want)
		}
	})
}
