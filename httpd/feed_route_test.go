package httpd_test

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"testing"

	"cheeseboard/httpd"
	"cheeseboard/storage/pypi"
)

// oneChange is the journal of an index where one project changed.
type oneChange struct{}

func (oneChange) Last(context.Context) (int64, error) { return 7, nil }

func (oneChange) Since(context.Context, int64) iter.Seq2[pypi.ListEntry, error] {
	return oneChange{}.All(context.Background())
}

func (oneChange) All(context.Context) iter.Seq2[pypi.ListEntry, error] {
	return func(yield func(pypi.ListEntry, error) bool) { yield(pypi.ListEntry{Name: "demo", Serial: 7}, nil) }
}

// TestFeed asks the whole front for its feed, and one without a feed.
func TestFeed(t *testing.T) {
	b := newBox(t, 100)
	for _, with := range []bool{true, false} {
		deps := httpd.Deps{Index: b, Source: b}
		if with {
			deps.Feed = oneChange{}
		}
		server := httptest.NewUnstartedServer(nil)
		server.Config = httpd.NewServer(httpd.New(deps), nil, httpd.Limits{})
		server.Start()
		for path, want := range map[string]int{"/pypi": 200, "/pypi/": 200, "/pypi/demo/json": 405, "/RPC2": 405} {
			if !with {
				want = 405
			}
			resp, err := server.Client().Post(server.URL+path, "text/xml", bytes.NewReader(pypi.AppendFeedCall(nil, pypi.MethodLastSerial)))
			if err != nil {
				t.Fatal(err)
			}
			serial, err := pypi.DecodeFeedSerial(resp.Body)
			if resp.StatusCode != want || (err == nil && serial == 7) != (want == http.StatusOK) || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("feed %t: %s: %d, %d, %v", with, path, resp.StatusCode, serial, err)
			}
			_ = resp.Body.Close() // it was read to its end, or of no use
		}
		server.Close()
	}
}
