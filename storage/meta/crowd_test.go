package meta

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"cheeseboard/storage/pypi"
)

// crowded has several goroutines count until stop says so, each for itself and all
// together, and some of them fail. acknowledged tells how far each was told to be.
func crowded(t *testing.T, d *DB, stop func() bool) (acknowledged []atomic.Uint64, wait func()) {
	acknowledged = make([]atomic.Uint64, 8)
	var all sync.WaitGroup
	for i := range acknowledged {
		all.Go(func() {
			for n := 0; !stop(); n++ {
				fail := error(nil)
				if n%4 == 3 {
					fail = errCut
				}
				switch err := count(d, fmt.Sprint("n", i), fail)(); {
				case errors.Is(err, errClosed):
					return
				case fail == nil && err != nil || fail != nil && !errors.Is(err, fail):
					t.Errorf("writer %d: %v", i, err)
					return
				case fail == nil:
					acknowledged[i].Add(1)
				}
			}
		})
	}
	return acknowledged, all.Wait
}

// TestCrowdIsCut copies the folder while many write, as a cut would leave it: what
// was acknowledged before is there.
func TestCrowdIsCut(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	defer closeDB(t, d)
	var enough atomic.Bool
	acknowledged, wait := crowded(t, d, enough.Load)
	for round := range 5 {
		for acknowledged[0].Load() < uint64(10*(round+1)) && !t.Failed() {
			runtime.Gosched()
		}
		told := make([]uint64, len(acknowledged))
		for i := range told {
			told[i] = acknowledged[i].Load()
		}
		after := filepath.Join(t.TempDir(), "meta")
		copyLogs(t, dir, after)
		c := open(t, after)
		for i, n := range told {
			if got := counted(t, c, fmt.Sprint("n", i)); got < n {
				t.Errorf("cut %d: writer %d was told of %d, there are %d", round, i, n, got)
			}
		}
		closeDB(t, c)
	}
	enough.Store(true)
	wait()
}

// copyLogs copies metadata that are so few that there are no tables yet.
func copyLogs(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), raw, 0o644)
		}
		if err != nil || filepath.Ext(e.Name()) == ".sst" {
			t.Fatalf("copy %s: %v", e.Name(), err)
		}
	}
}

// TestCloseInACrowd closes while many write: each is told what became of its change.
func TestCloseInACrowd(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	acknowledged, wait := crowded(t, d, func() bool { return false })
	for acknowledged[3].Load() < 5 && !t.Failed() {
		runtime.Gosched()
	}
	closeDB(t, d)
	wait()
	d = open(t, dir)
	defer closeDB(t, d)
	for i := range acknowledged {
		if got, want := counted(t, d, fmt.Sprint("n", i)), acknowledged[i].Load(); got != want {
			t.Errorf("writer %d was told of %d, there are %d", i, want, got)
		}
	}
}

// BenchmarkCommits tells how many small changes a second become durable, each as
// soon as its writer's last one has.
func BenchmarkCommits(b *testing.B) {
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			d := open(b, b.TempDir())
			defer closeDB(b, d)
			var next atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			for i := range writers {
				all.Go(func() {
					name := pypi.Name(fmt.Sprint("p", i))
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if err := d.SetState(name, fmt.Append(nil, n)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}
