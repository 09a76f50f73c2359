package hardship

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// tap notes what came out of a line at the box's end, request by request. What
// the upstream sent is no measure: a cut leaves much of it in buffers.
type tap struct {
	mu    sync.Mutex
	all   []*exchange
	bytes int64         // of bodies of files
	round int           // what is noted now belongs to it
	moved chan struct{} // closed at a change; nil while nobody waits
}

// exchange is one request and how much of its answer came.
type exchange struct {
	path   string
	start  int64 // of the first byte that was asked for
	status int   // 0: no answer came
	from   int64 // of the first byte that came
	body   int64 // bytes of body that came
	end    string
	round  int
}

func (x exchange) String() string {
	return fmt.Sprintf("%s from %d: %d, %d bytes from %d, %s (round %d)", x.path, x.start, x.status, x.body, x.from, x.end, x.round)
}

// whole: the answer came to its end.
const whole = "whole"

// isFile tells whether an exchange is about a distribution or its metadata.
func (x exchange) isFile() bool { return strings.HasPrefix(x.path, "/packages/") }

// stream is what a line has carried one way, for a reader that never holds it up.
type stream struct {
	mu     sync.Mutex
	more   sync.Cond
	bytes  bytes.Buffer
	closed bool
}

func (s *stream) write(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Write(b)
	s.more.Broadcast()
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.more.Broadcast()
}

func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes.Len() == 0 && !s.closed {
		s.more.Wait()
	}
	return s.bytes.Read(b)
}

// update changes what was noted, and wakes whoever waits for it.
func (t *tap) update(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// files are the bytes of files so far, and what is closed when there are more.
func (t *tap) files() (int64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.moved == nil {
		t.moved = make(chan struct{})
	}
	return t.bytes, t.moved
}

// wait waits for a moment from now on; false if ctx ends before.
func (t *tap) wait(ctx context.Context, m moment) bool {
	timer := time.NewTimer(m.after)
	defer timer.Stop()
	first, moved := t.files()
	for now := first; now-first < m.bytes; now, moved = t.files() {
		select {
		case <-moved:
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// asked returns when there is a request after the first n, or ctx has ended.
func (t *tap) asked(ctx context.Context, n int) {
	for {
		_, moved := t.files()
		if len(t.exchanges()) > n {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// exchanges are all so far.
func (t *tap) exchanges() []exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]exchange, len(t.all))
	for i, x := range t.all {
		out[i] = *x
	}
	return out
}

// follow reads along on one connection until it ends.
func (t *tap) follow(c *crossing) {
	asked, told := bufio.NewReader(&c.asked), bufio.NewReader(&c.told)
	var last *exchange
	for {
		request, err := http.ReadRequest(asked)
		if err != nil {
			if cause := c.cause.Load(); last != nil && cause != nil && *cause == "reset" {
				t.update(func() { last.end = "reset" }) // before it was read, perhaps
			}
			return
		}
		x := &exchange{path: request.URL.Path, end: "no answer"}
		if r := request.Header.Get("Range"); r != "" {
			_, _ = fmt.Sscanf(r, "bytes=%d-", &x.start) // what is no range begins at 0
		}
		t.update(func() { x.round = t.round; t.all = append(t.all, x) })
		_, _ = io.Copy(io.Discard, request.Body) // a call to the feed
		response, err := http.ReadResponse(told, request)
		if err != nil {
			t.ended(c, x)
			return
		}
		t.update(func() {
			x.status, x.end = response.StatusCode, "under way"
			if response.StatusCode == http.StatusPartialContent {
				x.from = x.start
			}
		})
		_, err = io.Copy(&counter{t, x}, response.Body)
		last = x
		if err != nil || response.Close {
			t.ended(c, x)
		} else {
			t.update(func() { x.end = whole })
		}
		if err != nil {
			return
		}
	}
}

// ended notes how an answer ended that was not whole.
func (t *tap) ended(c *crossing, x *exchange) {
	<-c.over
	t.update(func() {
		x.end = "cut"
		if cause := c.cause.Load(); cause != nil {
			x.end = *cause
		}
	})
}

// counter counts the bytes of a body.
type counter struct {
	*tap
	x *exchange
}

func (c *counter) Write(b []byte) (int, error) {
	c.update(func() {
		c.x.body += int64(len(b))
		if c.x.isFile() && (c.x.status == http.StatusOK || c.x.status == http.StatusPartialContent) {
			c.bytes += int64(len(b))
		}
	})
	return len(b), nil
}

// silences is a log that counts how often a box took an upstream for silent, by
// file. On a loaded machine bytes can be on their way at that moment: they are
// lost, and it is nobody's fault.
type silences struct {
	mu sync.Mutex
	of map[string]int
}

func (s *silences) about(filename string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[filename]
}

func (s *silences) Enabled(context.Context, slog.Level) bool { return true }
func (s *silences) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *silences) WithGroup(string) slog.Handler            { return s }

func (s *silences) Handle(_ context.Context, r slog.Record) error {
	var filename string
	silent := false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "url", "filename":
			filename = path.Base(a.Value.String())
		case "reason":
			silent = strings.Contains(a.Value.String(), "fell silent")
		}
		return true
	})
	if silent && filename != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.of[filename]++
	}
	return nil
}
