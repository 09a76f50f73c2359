package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// exchange is one request to a box and the head of its answer.
type exchange struct {
	path   string
	agent  string
	status int    // 0 as long as there is no answer
	form   string // the answer's Content-Type
}

// witness stands between clients and a box and sees what is said.
type witness struct {
	url string

	mu        sync.Mutex
	exchanges []*exchange
	changed   chan struct{}
}

type exchangeKey struct{}

// watch puts a witness in front of a box.
func watch(t *testing.T, b *box) *witness {
	t.Helper()
	target, err := url.Parse(b.url)
	must(t, err)
	w := &witness{changed: make(chan struct{})}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			if e, ok := r.Request.Context().Value(exchangeKey{}).(*exchange); ok {
				w.change(func() { e.status, e.form = r.StatusCode, r.Header.Get("Content-Type") })
			}
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		e := &exchange{path: r.URL.Path, agent: r.UserAgent()}
		w.change(func() { w.exchanges = append(w.exchanges, e) })
		proxy.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e)))
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *witness) index() string { return w.url + "/simple/" }

func (w *witness) change(what func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what()
	close(w.changed)
	w.changed = make(chan struct{})
}

// seen gives the exchanges so far whose path begins with prefix, and a channel
// that is closed at the next change.
func (w *witness) seen(prefix string) (list []exchange, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.exchanges {
		if strings.HasPrefix(e.path, prefix) {
			list = append(list, *e)
		}
	}
	return list, w.changed
}

// forms gives the media types of the project pages that were answered with 200,
// each once with how often.
func (w *witness) forms() map[string]int {
	forms := make(map[string]int)
	pages, _ := w.seen("/simple/")
	for _, e := range pages {
		if e.status == http.StatusOK {
			forms[e.form]++
		}
	}
	return forms
}

// wait returns once n requests have come whose path begins with prefix and ends
// with suffix.
func (w *witness) wait(ctx context.Context, n int, prefix, suffix string) error {
	for {
		list, changed := w.seen(prefix)
		count := 0
		for _, e := range list {
			if strings.HasSuffix(e.path, suffix) {
				count++
			}
		}
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
