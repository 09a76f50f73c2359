package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

func payload(seed uint64, n int) ([]byte, pypi.Digest) {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b, sha256.Sum256(b)
}

func open(t *testing.T, root string, opts Options) *Dir {
	t.Helper()
	d, err := Open(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func begin(t *testing.T, d *Dir, digest pypi.Digest, size int64) *Partial {
	t.Helper()
	p, err := d.Begin(digest, size, []byte("note"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, p *Partial, b []byte) {
	t.Helper()
	if _, err := p.Write(b); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, d *Dir, digest pypi.Digest, want []byte) {
	t.Helper()
	f, err := d.OpenBlob(digest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if cerr := f.Close(); err != nil || cerr != nil || !bytes.Equal(got, want) {
		t.Fatalf("blob differs: %d bytes, want %d (%v, %v)", len(got), len(want), err, cerr)
	}
	info, err := os.Stat(d.path(digest))
	if err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("mode %v (%v), want read-only", info.Mode(), err)
	}
}

func TestFinish(t *testing.T) {
	d := open(t, t.TempDir(), Options{SyncEvery: 1000})
	data, digest := payload(1, 10_000)
	p := begin(t, d, digest, int64(len(data)))
	if _, err := d.Begin(digest, 1, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("a second writer gets %v, want ErrBusy", err)
	}
	follow, err := p.Follow()
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(data, 777) {
		write(t, p, chunk)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, ErrTooLong) {
		t.Errorf("a byte too many gives %v, want ErrTooLong", err)
	}
	n, err := p.Finish()
	if err != nil || n != int64(len(data)) {
		t.Fatalf("finish: %d, %v", n, err)
	}
	check(t, d, digest, data)
	if got, err := io.ReadAll(follow); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the follower reads %d bytes (%v)", len(got), err)
	}
	if err := follow.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Begin(digest, 1, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("begin of a blob that is not recorded gives %v, want ErrBusy", err)
	}
	if err := errors.Join(d.Remove(digest), d.Settle(digest)); err != nil {
		t.Error(err)
	}
	check(t, d, digest, data) // it is about to be recorded
	if u, err := d.Unsettled(time.Time{}); err != nil || len(u) != 1 || u[0].Digest != digest || string(u[0].Note) != "note" {
		t.Errorf("unsettled %v (%v)", u, err)
	}
	if err := p.Settle(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Begin(digest, 1, nil); !errors.Is(err, ErrExists) {
		t.Errorf("begin of a whole blob gives %v, want ErrExists", err)
	}
	if u, err := d.Unsettled(time.Time{}); err != nil || len(u) != 0 {
		t.Errorf("unsettled after settling: %v (%v)", u, err)
	}
}

// TestResume cuts a download in every way and looks at where it goes on.
func TestResume(t *testing.T) {
	const syncEvery = 1000
	data, digest := payload(2, 10_000)
	for _, c := range []struct {
		name    string
		boot    string // of the second run
		disturb func(t *testing.T, d *Dir)
		want    int64
	}{
		{"program killed", "boot-1", func(*testing.T, *Dir) {}, 4500},
		{"power cut", "boot-2", func(*testing.T, *Dir) {}, 4000},
		{"power cut, tail is zeros", "boot-2", func(t *testing.T, d *Dir) {
			if err := os.Truncate(d.partPath(digest), 4000); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(d.partPath(digest), 4300); err != nil {
				t.Fatal(err)
			}
		}, 4000},
		{"state lost", "boot-1", func(t *testing.T, d *Dir) {
			if err := os.Remove(d.statePath(digest)); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"state garbled", "boot-1", func(t *testing.T, d *Dir) {
			if err := os.WriteFile(d.statePath(digest), []byte(`{"version":1,"synced":40`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"hash state garbled", "boot-1", func(t *testing.T, d *Dir) {
			if err := os.WriteFile(d.statePath(digest), []byte(`{"version":1,"size":10000,"synced":4000,"hash":"AAAA"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"bytes lost", "boot-1", func(t *testing.T, d *Dir) {
			if err := os.Truncate(d.partPath(digest), 3999); err != nil {
				t.Fatal(err)
			}
		}, 3000},
		{"read-only since Finish was cut off", "boot-1", func(t *testing.T, d *Dir) {
			if err := os.Chmod(d.partPath(digest), 0o444); err != nil {
				t.Fatal(err)
			}
		}, 4500},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			d := open(t, root, Options{SyncEvery: syncEvery, BootID: "boot-1"})
			p := begin(t, d, digest, int64(len(data)))
			p.SetValidator(`"etag"`)
			for i := 0; i < 4500; i += 500 {
				write(t, p, data[i:i+500])
			}
			// Neither Close nor Sync: the program is gone.
			if err := p.file.Close(); err != nil {
				t.Fatal(err)
			}
			c.disturb(t, d)

			d = open(t, root, Options{SyncEvery: syncEvery, BootID: c.boot})
			p = begin(t, d, digest, int64(len(data)))
			if p.Offset() != c.want {
				t.Fatalf("goes on at %d, want %d", p.Offset(), c.want)
			}
			if want := map[bool]string{true: `"etag"`}[c.want > 0]; p.Validator() != want {
				t.Errorf("validator %q, want %q", p.Validator(), want)
			}
			write(t, p, data[p.Offset():])
			if _, err := p.Finish(); err != nil {
				t.Fatal(err)
			}
			check(t, d, digest, data)
		})
	}
}

// TestResumeBeyondTheSize goes on with a partial of which the index now states
// fewer bytes than are here.
func TestResumeBeyondTheSize(t *testing.T) {
	root := t.TempDir()
	data, digest := payload(2, 1000)
	p := begin(t, open(t, root, Options{BootID: "boot-1"}), digest, 2000)
	write(t, p, append(data, data[:500]...))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	d := open(t, root, Options{BootID: "boot-1"})
	p = begin(t, d, digest, int64(len(data)))
	if p.Offset() != 0 {
		t.Fatalf("goes on at %d", p.Offset())
	}
	write(t, p, data)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	check(t, d, digest, data)
}

func TestMismatch(t *testing.T) {
	data, digest := payload(3, 5000)
	for _, c := range []struct {
		name string
		size int64
		send []byte
	}{
		{"flipped byte", 5000, append(bytes.Clone(data[:4999]), data[4999]^1)},
		{"too short", 5000, data[:4999]},
		{"wrong size stated", 4000, data[:4000]},
		{"size unknown, too short", pypi.SizeUnknown, data[:4999]},
	} {
		d := open(t, t.TempDir(), Options{})
		p := begin(t, d, digest, c.size)
		write(t, p, c.send)
		var bad *MismatchError
		if _, err := p.Finish(); !errors.As(err, &bad) {
			t.Errorf("%s: finish gives %v", c.name, err)
		}
		if _, err := d.OpenBlob(digest); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: the blob can be opened (%v)", c.name, err)
		}
		if p := begin(t, d, digest, 5000); p.Offset() != 0 {
			t.Errorf("%s: the wrong bytes are gone on with", c.name)
		}
	}
}

// TestEveryStepFails fails each durable step of a blob's life before and after
// it took place, then starts anew as after a crash: the blob must be whole and
// recorded as unsettled, or be made so by going on.
func TestEveryStepFails(t *testing.T) {
	data, digest := payload(4, 5000)
	fault := errors.New("injected")
	for n := range 200 {
		root := t.TempDir()
		count, hit := 0, ""
		disk := &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
			if strings.Contains(path, "partial") || strings.Contains(path, "blobs") {
				if count++; count == n+1 {
					hit = string(step) + map[bool]string{true: " after", false: " before"}[done]
					return fault
				}
			}
			return nil
		}}
		func() {
			d, err := Open(root, Options{SyncEvery: 1000, Disk: disk})
			if err != nil {
				return
			}
			p, err := d.Begin(digest, int64(len(data)), []byte("note"))
			if err != nil {
				return
			}
			for chunk := range slices.Chunk(data, 500) {
				if _, err := p.Write(chunk); err != nil {
					return
				}
			}
			if _, err := p.Finish(); err == nil {
				_ = p.Settle() // fails in one of the rounds
			}
		}()
		if hit == "" {
			if n < 40 {
				t.Fatalf("only %d steps were seen", n)
			}
			return
		}
		d := open(t, root, Options{SyncEvery: 1000})
		unsettled, err := d.Unsettled(time.Time{})
		if err != nil {
			t.Fatalf("%s: %v", hit, err)
		}
		p, err := d.Begin(digest, int64(len(data)), []byte("note"))
		switch {
		case err == nil:
			if len(unsettled) != 0 {
				t.Errorf("%s: unsettled %v, yet not whole", hit, unsettled)
			}
			write(t, p, data[p.Offset():])
			if _, err := p.Finish(); err != nil {
				t.Errorf("%s: %v", hit, err)
			}
		case errors.Is(err, ErrExists):
			settled := strings.HasPrefix(hit, "remove") // the blob had been recorded
			if len(unsettled) != 1 && !settled {
				t.Errorf("%s: whole, but recovery does not see it", hit)
			}
		default:
			t.Fatalf("%s: %v", hit, err)
		}
		check(t, d, digest, data)
	}
	t.Fatal("the steps have no end")
}

func TestUnsettledClearsAway(t *testing.T) {
	root := t.TempDir()
	d := open(t, root, Options{})
	_, a := payload(5, 10)
	_, b := payload(6, 10)
	_, c := payload(7, 10)
	put := func(name string) string {
		path := filepath.Join(root, "partial", name)
		if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := []string{put(a.String() + ".state"), put(b.String() + ".part"), put(c.String() + ".state.new")}
	kept := []string{put(c.String() + ".state"), put(c.String() + ".part"), put("README")}
	if u, err := d.Unsettled(time.Time{}); err != nil || len(u) != 0 {
		t.Fatalf("%v, %v", u, err)
	}
	for _, p := range gone {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
	for _, p := range kept {
		if _, err := os.Stat(p); err != nil {
			t.Errorf("%s is gone", p)
		}
	}
	if _, err := d.Unsettled(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept[1]); err == nil {
		t.Error("an expired partial is still there")
	}
}

func TestEach(t *testing.T) {
	root := t.TempDir()
	d := open(t, root, Options{})
	var all []pypi.Digest
	for i := range 50 {
		data, digest := payload(uint64(100+i), 10)
		p := begin(t, d, digest, 10)
		write(t, p, data)
		if _, err := p.Finish(); err != nil {
			t.Fatal(err)
		}
		all = append(all, digest)
	}
	if err := os.WriteFile(filepath.Join(root, "blobs", "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []pypi.Digest
	strays := 0
	walk := func(from pypi.Digest, most int) {
		err := d.Each(from, func(x pypi.Digest, size int64) bool {
			if size != 10 {
				t.Errorf("size %d", size)
			}
			seen = append(seen, x)
			return len(seen) < most
		}, func(string) { strays++ })
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(pypi.Digest{}, 20)
	next := seen[19]
	seen = seen[:19]
	walk(next, 1000)
	if len(seen) != len(all) || strays != 1 {
		t.Errorf("walked over %d blobs of %d, %d strays", len(seen), len(all), strays)
	}
	for i := 1; i < len(seen); i++ {
		if bytes.Compare(seen[i-1][:], seen[i][:]) >= 0 {
			t.Fatal("not in order")
		}
	}
}
