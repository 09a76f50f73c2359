package webui_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/httpd/webui"
	"cheeseboard/storage/pypi"
)

// TestProjectPagesAreBounded: the page of a large project takes tens of megabytes while it
// is made. Only few are made at once, and who waits too long for his turn is told so.
func TestProjectPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside atomic.Int32
		open := make(chan struct{})
		h := webui.NewProjects("cellar", func(_ context.Context, name pypi.Name) (webui.Project, error) {
			inside.Add(1)
			defer inside.Add(-1)
			<-open
			return webui.Project{Name: name}, nil
		}, nil)
		const crowd = 20
		var asked sync.WaitGroup
		var ok, later atomic.Int32
		ask := func(ctx context.Context) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/project/brie", nil))
			switch {
			case w.Code == 200:
				ok.Add(1)
			case w.Code == 503 && w.Header().Get("Retry-After") != "":
				later.Add(1)
			default:
				t.Errorf("%d %v", w.Code, w.Header())
			}
		}
		for range crowd {
			asked.Go(func() { ask(t.Context()) })
		}
		synctest.Wait()
		n := inside.Load()
		if n < 1 || n > 4 || later.Load() != 0 {
			t.Errorf("%d pages are made at once, and %d were refused", n, later.Load())
		}
		time.Sleep(time.Minute) // those in the queue lose their patience
		if later.Load() != crowd-n {
			t.Errorf("%d were refused", later.Load())
		}
		close(open)
		asked.Wait()
		if ok.Load() != n {
			t.Errorf("%d were answered, of %d", ok.Load(), n)
		}
		ask(t.Context())
		if ok.Load() != n+1 {
			t.Error("afterwards nobody is answered any more")
		}
	})
}
