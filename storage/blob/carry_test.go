package blob

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"cheeseboard/storage/pypi"
)

// alter opens the file of a partial and changes it behind the program's back.
func alter(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func zero(from, to int) func([]byte) []byte {
	return func(b []byte) []byte { clear(b[from:to]); return b }
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 4; return b }
}

func shorten(to int) func([]byte) []byte { return func(b []byte) []byte { return b[:to] } }

// TestHashIsCarriedOverABoot damages a partial of 8,000 synced bytes, with a block
// each thousand, between two boots. Where it goes on, and that the blob is right
// in the end, whatever the disk did.
func TestHashIsCarriedOverABoot(t *testing.T) {
	data, digest := payload(40, 10_000)
	other, otherDigest := payload(41, 10_000)
	for _, c := range []struct {
		name   string
		part   func([]byte) []byte // nil: unchanged
		state  func(t *testing.T, d *Dir)
		want   int64
		damage bool // found at the end, when it is read back
	}{
		{name: "nothing", want: 8000},
		{name: "the last block is cut", part: shorten(7400), want: 7000},
		{name: "the last two are cut", part: shorten(6000), want: 6000},
		{name: "more is cut than is kept of", part: shorten(4900), want: 0},
		{name: "the last block is zeros", part: zero(7000, 8000), want: 7000},
		{name: "the end of the last block is zeros", part: zero(7990, 8000), want: 7000},
		{name: "a bit of the last block", part: flip(7500), want: 7000},
		{name: "a bit of the last two", part: func(b []byte) []byte { return flip(7500)(flip(6999)(b)) }, want: 6000},
		{name: "a bit of each of the last four", part: zero(4000, 8000), want: 0},
		{name: "a bit far before the end", part: flip(100), want: 8000, damage: true},
		{name: "zeros far before the end", part: zero(1024, 1536), want: 8000, damage: true},
		{name: "state of another file", want: 0, state: func(t *testing.T, d *Dir) {
			p := begin(t, d, otherDigest, int64(len(other)))
			write(t, p, other[:8000])
			if err := errors.Join(p.Close(), os.Rename(d.statePath(otherDigest), d.statePath(digest))); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a bit of the state", want: 0, state: func(t *testing.T, d *Dir) {
			alter(t, d.statePath(digest), func(b []byte) []byte { return bytes.Replace(b, []byte("AAAA"), []byte("AAEA"), 1) })
		}},
		{name: "the state says more than was written", want: 0, state: func(t *testing.T, d *Dir) {
			alter(t, d.statePath(digest), func(b []byte) []byte { return bytes.Replace(b, []byte(`"synced":8000`), []byte(`"synced":7999`), 1) })
		}},
		{name: "the state is newer than the bytes", part: shorten(5100), want: 5000},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			d := open(t, root, Options{SyncEvery: 1000, BootID: "1"})
			p := begin(t, d, digest, int64(len(data)))
			for i := 0; i < 8000; i += 500 {
				write(t, p, data[i:i+500])
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if c.part != nil {
				alter(t, d.partPath(digest), c.part)
			}
			if c.state != nil {
				c.state(t, d)
			}
			d = open(t, root, Options{SyncEvery: 1000, BootID: "2"})
			p = begin(t, d, digest, int64(len(data)))
			if p.Offset() != c.want {
				t.Fatalf("goes on at %d, want %d", p.Offset(), c.want)
			}
			write(t, p, data[p.Offset():])
			_, err := p.Finish()
			var damage *DamageError
			if errors.As(err, &damage) != c.damage || !c.damage && err != nil {
				t.Fatalf("finish gives %v", err)
			}
			if c.damage {
				if _, err := d.OpenBlob(digest); !errors.Is(err, ErrNotFound) {
					t.Errorf("the blob can be opened (%v)", err)
				}
				if p.Offset() != 0 {
					t.Fatalf("goes on at %d", p.Offset())
				}
				write(t, p, data)
				if _, err := p.Finish(); err != nil {
					t.Fatal(err)
				}
			}
			check(t, d, digest, data)
		})
	}
}

// TestReadBackOnce: what earlier boots wrote is read back once, at the end; what
// was written in one boot is not.
func TestReadBackOnce(t *testing.T) {
	const block = 1 << 20
	data, digest := payload(42, 32*block)
	read := func(do func()) int64 {
		before := readChars(t)
		do()
		return readChars(t) - before
	}
	for _, boots := range []int{1, 4} {
		root := t.TempDir()
		var p *Partial
		for boot := range boots {
			d := open(t, root, Options{SyncEvery: block, BootID: string(rune('a' + boot))})
			n := read(func() { p = begin(t, d, digest, int64(len(data))) })
			if most := int64(block + 64<<10); n > most {
				t.Errorf("boot %d of %d: %d bytes were read to go on at %d, at most %d is right", boot+1, boots, n, p.Offset(), most)
			}
			part := len(data) / boots
			for chunk := range slices.Chunk(data[boot*part:(boot+1)*part], 64<<10) {
				write(t, p, chunk)
			}
			if boot < boots-1 {
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		n := read(func() {
			if _, err := p.Finish(); err != nil {
				t.Fatal(err)
			}
		})
		least, most := int64(0), int64(64<<10)
		if boots > 1 {
			old := int64(len(data) / boots * (boots - 1)) // the rest this boot wrote
			least, most = old, old+64<<10
		}
		if n < least || n > most {
			t.Errorf("%d boots: %d bytes were read at the end, right is from %d to %d", boots, n, least, most)
		}
	}
}

// readChars is how many bytes this process has read from files.
func readChars(t *testing.T) int64 {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("this kernel does not count: %v", err)
	}
	var n int64
	for _, c := range bytes.TrimPrefix(raw, []byte("rchar: ")) {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// TestOldState goes on with a state of the version before, which has one
// checkpoint and no check sums: after another boot all is read.
func TestOldState(t *testing.T) {
	data, digest := payload(43, 10_000)
	for _, c := range []struct {
		boot string
		part func([]byte) []byte
		want int64
	}{{"1", shorten(4000), 4000}, {"2", shorten(4000), 4000}, {"2", flip(100), 0}} {
		root := t.TempDir()
		d := open(t, root, Options{SyncEvery: 1000, BootID: "1"})
		p := begin(t, d, digest, int64(len(data)))
		write(t, p, data[:4000])
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		alter(t, d.partPath(digest), c.part)
		s := readState(t, d, digest)
		old, err := json.Marshal(map[string]any{
			"version": 1, "size": s.Size, "synced": s.Synced, "hash": s.Hash, "validator": "", "boot": "1", "note": s.Note,
		})
		if err != nil {
			t.Fatal(err)
		}
		alter(t, d.statePath(digest), func([]byte) []byte { return old })
		if u, err := d.Waiting(); err != nil || len(u) != 1 || u[0].Size != int64(len(data)) {
			t.Errorf("waiting are %v (%v)", u, err)
		}
		for _, boot := range []string{c.boot, "3"} { // and it becomes one of ours
			d = open(t, root, Options{SyncEvery: 1000, BootID: boot})
			if p = begin(t, d, digest, int64(len(data))); p.Offset() != c.want {
				t.Fatalf("boot %s: goes on at %d, want %d", boot, p.Offset(), c.want)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		p = begin(t, d, digest, pypi.SizeUnknown)
		write(t, p, data[p.Offset():])
		if _, err := p.Finish(); err != nil {
			t.Fatal(err)
		}
		check(t, d, digest, data)
	}
}
