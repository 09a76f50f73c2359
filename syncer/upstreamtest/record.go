package upstreamtest

import (
	"context"
	"net/http"
	"slices"
	"sync"
)

// Request is one request as it was received and answered.
type Request struct {
	Method          string
	Host            string
	Path            string // without the query
	Query           string
	Accept          string
	AcceptEncoding  string
	Range           string
	IfRange         string
	IfNoneMatch     string
	IfModifiedSince string
	UserAgent       string
	Call            string // to the feed: "changelog_since_serial 20000003"

	Status int      // 0 as long as no header was sent
	Body   int64    // bytes of body that were handed to the connection
	Lies   []string // the names of the lies that were applied
	Done   bool     // the handler is through with it

	subject subject
}

// Requests are requests in the order in which they were received.
type Requests []Request

// On are the requests that a target means.
func (q Requests) On(target Target) Requests {
	var out Requests
	for _, r := range q {
		if target.matches(r.subject) {
			out = append(out, r)
		}
	}
	return out
}

// With are the requests that were answered with a status.
func (q Requests) With(status int) Requests {
	var out Requests
	for _, r := range q {
		if r.Status == status {
			out = append(out, r)
		}
	}
	return out
}

// Body is the sum of the bytes of body that were sent. After a client went away
// it can be more than the client read, by what the buffers between held.
func (q Requests) Body() int64 {
	var sum int64
	for _, r := range q {
		sum += r.Body
	}
	return sum
}

// Ranges are the Range headers, "" for a request without one.
func (q Requests) Ranges() []string {
	var out []string
	for _, r := range q {
		out = append(out, r.Range)
	}
	return out
}

// Calls are the calls to the feed, "" for a request that is none.
func (q Requests) Calls() []string {
	var out []string
	for _, r := range q {
		out = append(out, r.Call)
	}
	return out
}

// Paths are the paths that were asked for.
func (q Requests) Paths() []string {
	var out []string
	for _, r := range q {
		out = append(out, r.Path)
	}
	return out
}

// Statuses are the statuses of the answers.
func (q Requests) Statuses() []int {
	var out []int
	for _, r := range q {
		out = append(out, r.Status)
	}
	return out
}

// record keeps the requests of a server.
type record struct {
	mu       sync.Mutex
	requests []*Request
	changed  chan struct{} // closed and replaced at every change; nil while nobody waits
}

// begin adds a request and returns its entry, which only update may change.
func (k *record) begin(r *http.Request, s subject) *Request {
	entry := &Request{
		Method: r.Method, Host: r.Host, Path: r.URL.Path, Query: r.URL.RawQuery,
		Accept: r.Header.Get("Accept"), AcceptEncoding: r.Header.Get("Accept-Encoding"),
		Range: r.Header.Get("Range"), IfRange: r.Header.Get("If-Range"),
		IfNoneMatch: r.Header.Get("If-None-Match"), IfModifiedSince: r.Header.Get("If-Modified-Since"),
		UserAgent: r.Header.Get("User-Agent"), Call: s.call.String(), subject: s,
	}
	k.update(func() { k.requests = append(k.requests, entry) })
	return entry
}

// update changes the record and wakes all who wait for a change.
func (k *record) update(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

func (k *record) snapshot() (requests Requests, changed <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.requests {
		entry := *r
		entry.Lies = slices.Clone(r.Lies)
		requests = append(requests, entry)
	}
	if k.changed == nil {
		k.changed = make(chan struct{})
	}
	return requests, k.changed
}

// wait returns once the requests are as wanted, or with the context's error.
func (k *record) wait(ctx context.Context, wanted func(Requests) bool) error {
	for {
		requests, changed := k.snapshot()
		if wanted(requests) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
