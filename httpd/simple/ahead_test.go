package simple_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/httpd/simple"
	"cheeseboard/storage/pypi"
)

// seer is an index whose pages take their time, and that can be asked what is next.
type seer struct {
	*fakeIndex
	version  atomic.Uint64
	slow     atomic.Int64 // time.Duration that a page takes
	foreseen atomic.Int64
	blind    atomic.Bool
}

func newSeer(t *testing.T) *seer {
	s := &seer{fakeIndex: newIndex(t)}
	s.slow.Store(int64(20 * time.Millisecond))
	s.version.Store(1)
	return s
}

func (s *seer) Version() uint64 { return s.version.Load() }

func (s *seer) page() simple.Page {
	version := s.version.Load()
	return simple.Page{
		Tag: fmt.Sprint("v", version),
		Visit: func(use func(*pypi.Project, pypi.Files) error) error {
			s.loads.Add(1)
			time.Sleep(time.Duration(s.slow.Load()))
			p := *s.project
			p.LastSerial = int64(version)
			return use(&p, pypi.FilesOf(&p))
		},
		Still: func() bool { return s.version.Load() == version },
	}
}

func (s *seer) Page(context.Context, pypi.Name) (simple.Page, error) { return s.page(), nil }

func (s *seer) Foresee(pypi.Name) (simple.Page, bool) {
	s.foreseen.Add(1)
	return s.page(), !s.blind.Load()
}

// TestAhead holds that a page that takes long and is asked for is rendered anew when
// it has changed, once, when the changes are over; and that nobody's page is not.
func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSeer(t)
		h := simple.New(simple.Deps{Index: x, Link: link})
		defer func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}()
		ask := func(name string) (took time.Duration) {
			begun := time.Now()
			res := do(h, "GET", "/simple/"+name+"/", "Accept", typeJSON)
			if got, want := res.Header.Get("X-PyPI-Last-Serial"), fmt.Sprint(x.version.Load()); res.StatusCode != 200 || got != want {
				t.Errorf("%s: %d, of version %s instead of %s", name, res.StatusCode, got, want)
			}
			return time.Since(begun)
		}
		check := func(what string, loads int64) {
			t.Helper()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if n := x.loads.Swap(0); n != loads {
				t.Errorf("%s: rendered %d times, want %d", what, n, loads)
			}
		}
		if ask("demo") == 0 {
			t.Error("the first one does not wait")
		}
		check("without a change", 1)
		x.version.Add(1)
		check("after a change", 1)
		if took := ask("demo"); took != 0 {
			t.Errorf("a page that was rendered ahead takes %v", took)
		}
		check("when it is asked for then", 0)

		for range 40 {
			x.version.Add(1)
			time.Sleep(time.Second / 2)
		}
		check("after changes for 20 s", 2)
		x.blind.Store(true)
		x.version.Add(1)
		check("while nobody can tell", 0)
		x.blind.Store(false)

		x.slow.Store(0)
		_ = ask("other") // it is no work, and not rendered ahead
		x.loads.Store(0)
		x.version.Add(1)
		check("of two pages", 1)

		time.Sleep(11 * time.Minute)
		x.foreseen.Store(0)
		x.version.Add(1)
		check("when nobody has asked for long", 0)
		if n := x.foreseen.Load(); n != 0 {
			t.Errorf("it was looked at %d times", n)
		}
		x.slow.Store(int64(time.Millisecond * 20))
		_ = ask("demo")
		x.loads.Store(0)
		x.version.Add(1)
		check("when somebody asks again", 1)
	})
}
