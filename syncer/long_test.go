package syncer

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// crate is an Incoming that counts.
type crate struct {
	parcel
	have int64
}

func (c *crate) Offset() int64 { return c.have }
func (c *crate) Write(b []byte) (int, error) {
	c.have += int64(len(b))
	return len(b), nil
}

// larder is a pantry that takes files.
type larder struct{ *pantry }

func (l larder) Begin(item Item) (Incoming, error) {
	return &crate{parcel: parcel{size: item.Size}}, nil
}

// drip is the outside of an index with one file, which comes a byte at a time, for weeks.
type drip struct {
	outside
	asked map[string]int // how often, by path
}

func (d *drip) index(w http.ResponseWriter, r *http.Request) {
	d.note(r)
	if r.URL.Path != "/simple/brie/" {
		http.NotFound(w, r)
		return
	}
	d.late(0, false)(w, r)
}

func (d *drip) file(w http.ResponseWriter, r *http.Request) {
	d.note(r)
	w.Header().Set("Content-Length", "100000")
	for range 100_000 {
		if _, err := io.WriteString(w, "."); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush() // who does not read it is gone
		select {
		case <-time.After(28 * time.Second):
		case <-d.over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (d *drip) note(r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[r.URL.Path]++
}

func (d *drip) count(path string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[path]
}

// trickle runs an engine over such an index, in a bubble.
func trickle(t *testing.T, use func(t *testing.T, e *Engine, d *drip)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &drip{outside: outside{hosts: make(map[string]http.HandlerFunc), over: make(chan struct{})}, asked: make(map[string]int)}
		d.becomes(pages, d.index)
		d.becomes(files, d.file)
		client, err := wire.NewClient(wire.Options{Dial: d.dial})
		if err != nil {
			t.Fatal(err)
		}
		index, err := upstream.New("http://upstream.test/simple/", client, 0)
		if err != nil {
			t.Fatal(err)
		}
		brie, err := pypi.ParseRequirement("brie")
		if err != nil {
			t.Fatal(err)
		}
		targets, err := plan.NewTargets([]string{"3.12"}, []string{plan.Any})
		if err != nil {
			t.Fatal(err)
		}
		shelf := larder{newPantry()}
		e := New(index, client, shelf, shelf, newShelfOfNotes(), Options{
			Pull: true, Selection: []pypi.Requirement{brie}, Policy: plan.Policy{Latest: 1, Targets: targets},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := e.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		use(t, e, d)
		cancel()
		e.Close()
		running.Wait()
		close(d.over)
	})
}

// TestLongPassIsRenewed has a file come for weeks: the index is asked for what is new
// all the same, and the file goes on meanwhile, and is not asked for again.
func TestLongPassIsRenewed(t *testing.T) {
	trickle(t, func(t *testing.T, _ *Engine, d *drip) {
		time.Sleep(2*longestPass + time.Hour)
		if n := d.count("/simple/brie/"); n < 3 {
			t.Errorf("in %s the page was asked for %d times", 3*longestPass+time.Hour, n)
		}
		if n := d.count("/brie.whl"); n != 1 {
			t.Errorf("the file was asked for %d times", n)
		}
	})
}

// TestWishInALongPass has a client wish for something while a file comes for weeks: it
// is asked for as soon as the line is back.
func TestWishInALongPass(t *testing.T) {
	trickle(t, func(t *testing.T, e *Engine, d *drip) {
		time.Sleep(time.Hour)
		d.becomes(pages, nil)
		// The first finds out that the line is down; the probes that follow do not.
		for range 2 {
			if _, err := e.Page(t.Context(), "edam"); err == nil {
				t.Error("there is a page")
			}
		}
		if wishes, err := e.wishes(); err != nil || len(wishes) != 1 {
			t.Errorf("the wishes are %v (%v)", wishes, err)
		}
		if n := d.count("/simple/edam/"); n != 0 {
			t.Errorf("%d requests came through", n)
		}
		d.becomes(pages, d.index)
		time.Sleep(5 * time.Minute)
		if n := d.count("/simple/edam/"); n == 0 {
			t.Error("the line is back, and nobody asks for what was wished for")
		}
	})
}
