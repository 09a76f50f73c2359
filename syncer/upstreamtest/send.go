package upstreamtest

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// ServeHTTP answers one request, with the truth or with the lies that were told
// for it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.handling.Done()
	about := subjectOf(r.URL.Path)
	if about.kind == kindFeed {
		about.call = readCall(r)
		about.project = about.call.method
	}
	entry := s.record.begin(r, about)
	defer s.record.update(func() { entry.Done = true })
	if !s.held(r) {
		panic(http.ErrAbortHandler)
	}
	lies := s.lies.claim(about, r)
	s.record.update(func() {
		for _, l := range lies {
			entry.Lies = append(entry.Lies, l.lie.Name)
		}
	})
	out := sending{server: s, w: w, r: r, entry: entry, reply: s.answer(r, about, lies)}
	out.run()
}

// held keeps a request back as long as the line does; false if nobody is there
// to be answered any more.
func (s *Server) held(r *http.Request) bool {
	if gate := s.line.gate(); gate != nil && !s.silence(r, gate) {
		return false
	}
	if d := s.line.delay(); d > 0 {
		over := make(chan struct{})
		timer := time.AfterFunc(d, func() { close(over) })
		defer timer.Stop()
		return s.silence(r, over)
	}
	return true
}

// silence says nothing until release is closed; false if the client or the
// server ended before.
func (s *Server) silence(r *http.Request, release <-chan struct{}) bool {
	select {
	case <-release:
		return true
	case <-r.Context().Done():
	case <-s.quit:
	}
	return false
}

// sending is one answer on its way.
type sending struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	entry  *Request
	*reply
	sent int64
}

func (o *sending) run() {
	if o.hangUp {
		o.end(false)
	}
	if o.silent {
		o.fallSilent()
	}
	header := o.w.Header()
	for key, values := range o.header {
		header[key] = values
	}
	hasBody := o.status != http.StatusNotModified
	switch {
	case hasBody && o.framing == framedByLength:
		header.Set("Content-Length", strconv.FormatInt(o.size, 10))
	case hasBody && o.framing == framedByClose:
		// net/http takes this as: neither length nor chunks.
		header.Set("Transfer-Encoding", "identity")
	}
	o.w.WriteHeader(o.status)
	o.server.record.update(func() { o.entry.Status = o.status })
	if !hasBody || o.r.Method == http.MethodHead {
		return
	}
	if o.framing == framedByChunks {
		o.flush() // else net/http would count a short body and state its length
	}
	o.copyBody()
}

// copyBody sends the body up to the marks where silence falls or the connection ends.
func (o *sending) copyBody() {
	line := connOf(o.r.Context())
	if o.cutPerLine && line != nil {
		o.cutAt = max(0, o.cutAt-line.body.Load())
	}
	buffer := make([]byte, 32<<10)
	for ended := false; ; {
		if o.sent == o.stallAt {
			o.flush()
			o.fallSilent()
		}
		if o.sent == o.cutAt {
			o.flush()
			o.end(o.reset)
		}
		if ended {
			return
		}
		n, err := o.body.Read(buffer[:o.room(len(buffer))])
		if n > 0 {
			written, werr := o.w.Write(buffer[:n])
			o.sent += int64(written)
			if line != nil {
				line.body.Add(int64(written))
			}
			o.server.record.update(func() { o.entry.Body += int64(written) })
			if werr != nil {
				return // the client went away, which is its right
			}
		}
		if err != nil && err != io.EOF {
			panic(http.ErrAbortHandler)
		}
		ended = err == io.EOF
	}
}

// room is how much may be sent before the next mark, at most n.
func (o *sending) room(n int) int {
	for _, mark := range []int64{o.cutAt, o.stallAt} {
		if mark > o.sent {
			n = int(min(int64(n), mark-o.sent))
		}
	}
	return n
}

// fallSilent waits for the release of the lie.
func (o *sending) fallSilent() {
	o.effect()
	if !o.server.silence(o.r, o.release) {
		panic(http.ErrAbortHandler)
	}
}

func (o *sending) effect() {
	for _, f := range o.effects {
		f()
	}
}

// end ends the connection, by FIN or by RST. It does not return.
func (o *sending) end(reset bool) {
	o.effect()
	if reset {
		o.resetConn()
	}
	panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
}

func (o *sending) resetConn() {
	type lingering interface {
		SetLinger(seconds int) error
		Close() error
	}
	var target lingering
	if c := connOf(o.r.Context()); c != nil {
		target = c
	} else if raw, _, err := http.NewResponseController(o.w).Hijack(); err == nil {
		// Under another server there is no conn of ours.
		target, _ = raw.(lingering)
	}
	if target == nil {
		return // the connection still ends, by FIN
	}
	// If these fail, the connection is gone already.
	_ = target.SetLinger(0)
	_ = target.Close()
}

// flush brings everything so far onto the wire. If that fails, the client is
// gone, and the next write says so.
func (o *sending) flush() { _ = http.NewResponseController(o.w).Flush() }
