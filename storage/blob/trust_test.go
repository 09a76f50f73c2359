package blob

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

var errFault = errors.New("injected")

// failing fails the steps that match from now on, while on.
type failing struct {
	step durable.Step
	path string // that it contains
	on   bool
}

func (f *failing) disk() *durable.Disk {
	return &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
		if f.on && !done && step == f.step && strings.Contains(path, f.path) {
			return errFault
		}
		return nil
	}}
}

func readState(t *testing.T, d *Dir, digest pypi.Digest) state {
	t.Helper()
	raw, err := os.ReadFile(d.statePath(digest))
	if err != nil {
		t.Fatal(err)
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFailedSyncIsNotTrusted holds that bytes whose sync failed are not taken
// for durable by a later sync: the kernel has dropped them by then.
func TestFailedSyncIsNotTrusted(t *testing.T) {
	data, digest := payload(20, 10_000)
	fault := &failing{step: durable.StepSync, path: ".part"}
	root := t.TempDir()
	d := open(t, root, Options{SyncEvery: 4000, Disk: fault.disk()})
	p := begin(t, d, digest, int64(len(data)))
	write(t, p, data[:4000])
	write(t, p, data[4000:6000])
	fault.on = true
	if err := p.Sync(); !errors.Is(err, errFault) {
		t.Fatalf("sync gives %v", err)
	}
	fault.on = false
	if _, err := p.Write(data[6000:]); !errors.Is(err, errFault) {
		t.Errorf("a later write gives %v", err)
	}
	if err := p.Sync(); !errors.Is(err, errFault) {
		t.Errorf("a later sync gives %v", err)
	}
	if _, err := p.Finish(); !errors.Is(err, errFault) {
		t.Errorf("finish gives %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	p = begin(t, d, digest, int64(len(data)))
	if p.Offset() != 4000 {
		t.Errorf("goes on at %d, want 4000: what was synced before", p.Offset())
	}
	write(t, p, data[p.Offset():])
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	check(t, d, digest, data)
}

// TestFailedStateIsWrittenAgain holds that Close does not believe a state that
// was not written.
func TestFailedStateIsWrittenAgain(t *testing.T) {
	data, digest := payload(21, 10_000)
	fault := &failing{step: durable.StepRename, path: ".state"}
	d := open(t, t.TempDir(), Options{SyncEvery: 1 << 20, Disk: fault.disk()})
	p := begin(t, d, digest, int64(len(data)))
	write(t, p, data[:6000])
	fault.on = true
	if err := p.Sync(); !errors.Is(err, errFault) {
		t.Fatalf("sync gives %v", err)
	}
	fault.on = false
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if s := readState(t, d, digest); s.Synced != 6000 {
		t.Errorf("after Close the state speaks of %d bytes, want 6000", s.Synced)
	}
}

// TestStateIsReplacedWhole fails each step of taking a partial up after a boot:
// the state that stands there must speak of what was synced, always.
func TestStateIsReplacedWhole(t *testing.T) {
	data, digest := payload(22, 10_000)
	seen := 0
	for _, step := range []durable.Step{durable.StepWrite, durable.StepSync, durable.StepRename, durable.StepSyncDir} {
		fault := &failing{step: step, path: "partial"}
		root := t.TempDir()
		d := open(t, root, Options{SyncEvery: 1000, BootID: "1", Disk: fault.disk()})
		p := begin(t, d, digest, int64(len(data)))
		write(t, p, data[:5000])
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, root, Options{SyncEvery: 1000, BootID: "2", Disk: fault.disk()})
		fault.on = true
		if _, err := d.Begin(digest, int64(len(data)), []byte("another note")); errors.Is(err, errFault) {
			seen++
		}
		fault.on = false
		if s := readState(t, d, digest); s.Synced != 5000 || len(s.Hash) == 0 {
			t.Errorf("%s: the state speaks of %d bytes", step, s.Synced)
		}
		if p := begin(t, d, digest, int64(len(data))); p.Offset() != 5000 {
			t.Errorf("%s: goes on at %d", step, p.Offset())
		}
	}
	if seen != 4 {
		t.Errorf("%d of 4 steps took place", seen)
	}
}

// TestResetForgetsFirst holds that after Reset no state speaks of the old bytes,
// not even one that a cut brings back: with other bytes in the file the hash
// would be right and the blob wrong.
func TestResetForgetsFirst(t *testing.T) {
	data, digest := payload(23, 10_000)
	fault := &failing{step: durable.StepRename, path: ".state"}
	d := open(t, t.TempDir(), Options{SyncEvery: 1000, Disk: fault.disk()})
	p := begin(t, d, digest, int64(len(data)))
	write(t, p, data[:5000])
	fault.on = true
	if err := p.Reset(); !errors.Is(err, errFault) {
		t.Fatalf("reset gives %v", err)
	}
	fault.on = false
	if info, err := os.Stat(d.partPath(digest)); err != nil || info.Size() != 5000 {
		t.Errorf("the bytes went before the state did (%v)", err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, errFault) {
		t.Errorf("a write after a failed reset gives %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = begin(t, d, digest, int64(len(data)))
	if err := p.Reset(); err != nil {
		t.Fatal(err)
	}
	if s := readState(t, d, digest); s.Synced != 0 || p.Offset() != 0 {
		t.Errorf("the state speaks of %d bytes, the partial of %d", s.Synced, p.Offset())
	}
	write(t, p, data)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	check(t, d, digest, data)
}

// TestCardLied changes bytes that had been synced, behind the program's back.
func TestCardLied(t *testing.T) {
	data, digest := payload(24, 10_000)
	root := t.TempDir()
	d := open(t, root, Options{SyncEvery: 1000, BootID: "1"})
	p := begin(t, d, digest, int64(len(data)))
	write(t, p, data[:5000])
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(d.partPath(digest), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, 512), 1024)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	d = open(t, root, Options{SyncEvery: 1000, BootID: "2"})
	p = begin(t, d, digest, int64(len(data)))
	if p.Offset() != 0 {
		t.Fatalf("goes on at %d behind bytes that are not those that were written", p.Offset())
	}
	write(t, p, data)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	check(t, d, digest, data)
}

func TestClosedPartial(t *testing.T) {
	data, digest := payload(25, 1000)
	d := open(t, t.TempDir(), Options{})
	p := begin(t, d, digest, 1000)
	write(t, p, data)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("finish after finish: %v", err)
	}
	if err := p.Reset(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("reset after finish: %v", err)
	}
	if err := p.Sync(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("sync after finish: %v", err)
	}
	if _, err := p.Write(nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("write after finish: %v", err)
	}
	if err := errors.Join(p.Close(), p.Discard()); err != nil {
		t.Error(err)
	}
	check(t, d, digest, data)
	if !d.Unrecorded(digest) {
		t.Error("its state is gone before it was settled")
	}
}

// TestOpenPartialKeepsItsState holds that settling or forgetting a digest leaves
// alone what somebody is writing.
func TestOpenPartialKeepsItsState(t *testing.T) {
	data, digest := payload(26, 1000)
	d := open(t, t.TempDir(), Options{})
	p := begin(t, d, digest, 1000)
	write(t, p, data[:500])
	if err := d.Settle(digest); err != nil {
		t.Error(err)
	}
	if err := d.Forget(digest); !errors.Is(err, ErrBusy) {
		t.Errorf("forget gives %v", err)
	}
	if d.Have(digest) != 500 || !d.Unrecorded(digest) {
		t.Error("the partial is gone")
	}
	// A second writer that is refused must not give the first one's claim free.
	for range 2 {
		if _, err := d.Begin(digest, 1000, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("a second writer gets %v", err)
		}
	}
	write(t, p, data[500:])
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Forget(digest); err != nil {
		t.Error(err)
	}
	if d.Have(digest) != 0 {
		t.Error("there are bytes of a partial that was forgotten")
	}
}

// TestClockAtZero keeps partials that were written before the clock was set.
func TestClockAtZero(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	now := time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	write1 := func(seed uint64, at time.Time) pypi.Digest {
		data, digest := payload(seed, 100)
		p := begin(t, d, digest, 200)
		write(t, p, data)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(d.partPath(digest), at, at); err != nil {
			t.Fatal(err)
		}
		return digest
	}
	unset := write1(27, time.Unix(100, 0))
	old := write1(28, now.Add(-61*24*time.Hour))
	young := write1(29, now.Add(-59*24*time.Hour))
	if _, err := d.Unsettled(now.Add(-60 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	for digest, want := range map[pypi.Digest]int64{unset: 100, young: 100, old: 0} {
		if n := d.Have(digest); n != want {
			t.Errorf("%d bytes are left, want %d", n, want)
		}
	}
	if info, err := os.Stat(d.partPath(unset)); err != nil || info.ModTime().Before(plausible) {
		t.Errorf("its time is still %v (%v)", info.ModTime(), err)
	}
}

// TestQuarantineIsBounded lies often.
func TestQuarantineIsBounded(t *testing.T) {
	root := t.TempDir()
	d := open(t, root, Options{})
	for i := range quarantineFiles + 5 {
		_, digest := payload(uint64(1000+i), 10)
		p := begin(t, d, digest, 10)
		write(t, p, fmt.Appendf(nil, "%010d", i))
		var bad *MismatchError
		if _, err := p.Finish(); !errors.As(err, &bad) {
			t.Fatal(err)
		}
	}
	names, err := os.ReadDir(filepath.Join(root, "quarantine"))
	if err != nil || len(names) != quarantineFiles {
		t.Errorf("%d files are in the quarantine, want %d (%v)", len(names), quarantineFiles, err)
	}
	large := filepath.Join(root, "quarantine", "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, quarantineBytes+1); err != nil { // sparse
		t.Fatal(err)
	}
	if _, err := d.Unsettled(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(large); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file larger than all the quarantine may hold stays (%v)", err)
	}
}

// TestQuarantineOfABlob moves a finished blob aside.
func TestQuarantineOfABlob(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	data, digest := payload(30, 1000)
	p := begin(t, d, digest, 1000)
	write(t, p, data)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	path, err := d.Quarantine(digest)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the quarantine holds %d bytes (%v)", len(got), err)
	}
	if _, err := d.OpenBlob(digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("it can still be opened (%v)", err)
	}
}

// TestRemovalIsSynced looks at the order of the steps.
func TestRemovalIsSynced(t *testing.T) {
	var steps []string
	d := open(t, t.TempDir(), Options{Disk: &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
		if done {
			steps = append(steps, string(step)+" "+filepath.Base(path))
		}
		return nil
	}}})
	data, digest := payload(31, 1000)
	p := begin(t, d, digest, 1000)
	write(t, p, data)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(); err != nil {
		t.Fatal(err)
	}
	steps = nil
	if err := errors.Join(d.Remove(digest), d.SyncRemoved(digest, digest)); err != nil {
		t.Fatal(err)
	}
	hex := digest.String()
	if want := []string{"remove " + hex, "sync directory " + hex[:2]}; strings.Join(steps, ",") != strings.Join(want, ",") {
		t.Errorf("steps %q, want %q", steps, want)
	}
	_, other := payload(32, 1)
	if err := errors.Join(d.Remove(other), d.SyncRemoved(other)); err != nil {
		t.Errorf("removing what never was: %v", err)
	}
}

// TestStepsOfASmallFile holds what a file below one checkpoint costs the disk: its
// bytes and its name are synced, with the names of the folders, and nothing twice.
func TestStepsOfASmallFile(t *testing.T) {
	var steps []string
	root := t.TempDir()
	d := open(t, root, Options{Disk: &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
		if rel, err := filepath.Rel(root, path); done && err == nil {
			steps = append(steps, string(step)+" "+rel)
		}
		return nil
	}}})
	steps = nil
	data, digest := payload(34, 5000)
	for round, first := range []bool{true, false} {
		p := begin(t, d, digest, 5000)
		write(t, p, data)
		if _, err := p.Finish(); err != nil {
			t.Fatal(err)
		}
		if err := p.Settle(); err != nil {
			t.Fatal(err)
		}
		hex := digest.String()
		want := []string{"sync partial/" + hex + ".part", "sync directory blobs", "sync directory partial",
			"rename blobs/" + hex[:2] + "/" + hex, "sync directory blobs/" + hex[:2], "remove partial/" + hex + ".state"}
		if !first {
			want = slices.Delete(want, 1, 2) // the folder lasts
		}
		if !slices.Equal(steps, want) {
			t.Errorf("round %d: steps %q, want %q", round, steps, want)
		}
		if err := d.Remove(digest); err != nil {
			t.Fatal(err)
		}
		steps = nil
	}
}

// TestPublishedIsNotTouched fails the publication after it took place, and then
// all syncs: closing the partial must leave the blob as it is.
func TestPublishedIsNotTouched(t *testing.T) {
	data, digest := payload(33, 5000)
	for _, failed := range []durable.Step{durable.StepRename, durable.StepSyncDir} {
		gone := false
		d := open(t, t.TempDir(), Options{SyncEvery: 1 << 20, Disk: &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
			gone = gone || done && step == failed && strings.Contains(path, "blobs"+string(filepath.Separator))
			if gone {
				return errFault
			}
			return nil
		}}})
		p := begin(t, d, digest, pypi.SizeUnknown)
		write(t, p, data)
		if _, err := p.Finish(); !errors.Is(err, errFault) {
			t.Fatalf("finish gives %v", err)
		}
		if _, err := p.Write([]byte("more")); err == nil {
			t.Errorf("%s: the blob was written to", failed)
		}
		if err := errors.Join(p.Sync(), p.Close()); !errors.Is(err, errFault) {
			t.Errorf("%s: sync gives %v", failed, err)
		}
		check(t, d, digest, data)
	}
}
