package app_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/syncer/upstreamtest"
)

// TestCacheHasAQuota lets clients ask for more than may be cached: all of them are
// served, what is cached stays within the quota, what the selection holds stays, and
// behind a dead line a page names what is here and nothing else.
func TestCacheHasAQuota(t *testing.T) {
	const size, quota = 300_000, 1_000_000
	server, names := many(t, 2)
	for i := range 8 {
		if _, err := server.Index.AddWheel(upstreamtest.Wheel{Name: fmt.Sprintf("rind-%d", i), Version: "1.0", Payload: size, Seed: uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	c := app.DefaultConfig()
	c.Data, c.Storage.Reserve, c.Storage.Cache = t.TempDir(), 0, config.Size(quota)
	c.Pull.Fresh = 0 // each page asks whether the line is up
	c.Upstream.URL, c.Sync.Projects = server.IndexURL(), names
	box, err := app.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer closeBox(t, box)
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept", "application/vnd.pypi.simple.v1+json")
		box.Handler().ServeHTTP(w, r)
		return w
	}
	offers := func(name string) (paths []string) {
		t.Helper()
		w := get("/simple/" + name + "/")
		var page struct{ Files []struct{ URL string } }
		if w.Code == http.StatusNotFound {
			return nil
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); w.Code != http.StatusOK || err != nil {
			t.Fatalf("the page of %s: status %d, %v", name, w.Code, err)
		}
		for _, f := range page.Files {
			paths = append(paths, strings.TrimPrefix(f.URL, "../.."))
		}
		return paths
	}
	for i := range 8 {
		for _, path := range offers(fmt.Sprintf("rind-%d", i)) {
			if w := get(path); w.Code != http.StatusOK || w.Body.Len() < size {
				t.Errorf("%s: status %d, %d bytes", path, w.Code, w.Body.Len())
			}
		}
		if total, err := box.Store.Cached(); err != nil || total.Bytes > quota {
			t.Errorf("cached are %+v (%v)", total, err)
		}
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	get("/simple/rind-0/") // it learns that the line is down
	here := 0
	for i := range 8 {
		for _, path := range offers(fmt.Sprintf("rind-%d", i)) {
			here++
			if w := get(path); w.Code != http.StatusOK {
				t.Errorf("%s is offered, and gives status %d", path, w.Code)
			}
		}
	}
	if here == 0 || here > 3 {
		t.Errorf("%d of 8 cached files are here, 3 fit", here)
	}
	for _, name := range names {
		for _, path := range offers(name) {
			if w := get(path); w.Code != http.StatusOK {
				t.Errorf("%s of the selection gives status %d", path, w.Code)
			}
			here++
		}
	}
	s, err := box.Status()
	if err != nil || s.Cache.Quota != quota || s.Cache.Bytes == 0 {
		t.Errorf("the status says of the cache %+v (%v)", s.Cache, err)
	}
}
