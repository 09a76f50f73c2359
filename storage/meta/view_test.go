package meta

import (
	"slices"
	"sync"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

func TestViewHasWhatWasCommitted(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	for serial := range int64(20) {
		p := page(t, "brie", 3)
		p.LastSerial = serial
		if _, err := d.PutProject(p); err != nil {
			t.Fatal(err)
		}
		got, known, err := d.Project("brie")
		if err != nil || !known || got.LastSerial != serial {
			t.Fatalf("after the commit of serial %d: %+v, %v, %v", serial, got, known, err)
		}
	}
}

// A view stays as it is while its readers read, and goes with the last of them.
func TestViewOutlivesCommits(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	if _, err := d.PutProject(page(t, "brie", 1)); err != nil {
		t.Fatal(err)
	}
	txn, done := d.view()
	held := d.views.latest
	if _, err := d.PutProject(page(t, "comte", 1)); err != nil {
		t.Fatal(err)
	}
	if d.views.latest == held {
		t.Fatal("the view was not renewed by a commit")
	}
	if known, err := d.has(txn, headKey("comte")); err != nil || known {
		t.Errorf("an older view has a newer project: %v, %v", known, err)
	}
	if known, err := d.has(txn, headKey("brie")); err != nil || !known {
		t.Errorf("an older view has lost its project: %v, %v", known, err)
	}
	if held.users != 1 {
		t.Errorf("the older view has %d users, want 1", held.users)
	}
	done()
	if held.users != 0 {
		t.Errorf("the older view has %d users after the last one, want 0", held.users)
	}
	if _, _, err := get(txn, headKey("brie")); err == nil {
		t.Error("the older view can be read after its last user: it is never given back to Badger")
	}
}

// Readers, commits and the end of it all at the same time: for the race detector,
// and for the panic of Badger's over a transaction that ends under an iterator.
func TestViewsWhileClosing(t *testing.T) {
	d := open(t, t.TempDir())
	if _, err := d.PutProject(page(t, "brie", 40)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, known, err := d.Project("brie"); err != nil || !known {
					t.Errorf("read while others write: %v, %v", known, err)
					return
				}
				if err := d.Names(func(pypi.ListEntry) bool { return true }); err != nil {
					t.Errorf("list while others write: %v", err)
					return
				}
			}
		})
	}
	for range 50 {
		if _, err := d.PutProject(page(t, "comte", 2)); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	all.Wait()
	closeDB(t, d)
}

// Who reads when it is closed hears so, however often: nothing of Badger's runs any
// more that would let a new transaction begin.
func TestReadWhenClosed(t *testing.T) {
	d := open(t, t.TempDir())
	closeDB(t, d)
	for range 500 {
		if _, _, err := d.Info("brie"); err == nil {
			t.Fatal("a closed store knows of something")
		}
	}
}

// BenchmarkReadBesideWrites tells how long a read takes while another goroutine
// commits without a pause, beside how long a commit takes.
func BenchmarkReadBesideWrites(b *testing.B) {
	d := open(b, b.TempDir())
	defer closeDB(b, d)
	if _, err := d.PutProject(page(b, "brie", 10)); err != nil {
		b.Fatal(err)
	}
	stop, commits := make(chan struct{}), make(chan int)
	begin := time.Now()
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				commits <- n
				return
			default:
			}
			if _, err := d.PutProject(page(b, "comte", 10)); err != nil {
				b.Error(err)
			}
			n++
		}
	}()
	var reads []time.Duration
	for b.Loop() {
		since := time.Now()
		if _, known, err := d.Info("brie"); err != nil || !known {
			b.Fatal(known, err)
		}
		reads = append(reads, time.Since(since))
	}
	close(stop)
	n := <-commits
	slices.Sort(reads)
	b.ReportMetric(float64(reads[len(reads)/2].Microseconds()), "read-p50-us")
	b.ReportMetric(float64(reads[len(reads)*99/100].Microseconds()), "read-p99-us")
	b.ReportMetric(float64(time.Since(begin).Microseconds())/float64(max(n, 1)), "commit-us")
}
