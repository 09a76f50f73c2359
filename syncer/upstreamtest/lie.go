package upstreamtest

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// Lie is one way of answering wrongly. Several may hold for one request: they
// are applied in the order in which they were told, so that "ETag changes" and
// "cut after a megabyte" can be true together.
type Lie struct {
	// Name is what Requests record of it, "cut:65536".
	Name string

	late    bool                        // it takes effect while the answer is sent
	applies func(*http.Request) bool    // nil for every request
	page    func(*page, *Index)         // bends what a page says
	feed    func(*feedAnswer)           // bends what the change feed says
	content func(*content, int)         // bends the representation; the int counts the tellings from 1
	reply   func(*reply, *http.Request) // bends the answer as it goes over the wire
}

// content is the representation of a resource, before ranges and conditions.
type content struct {
	body          body
	mediaType     string
	etag          string // "" for none
	modified      time.Time
	header        http.Header // further headers
	ranges        bool        // Range is honoured
	ignoreIfRange bool        // and If-Range is not
	noConditions  bool        // If-None-Match and If-Modified-Since are not looked at
	gzip          bool        // the client takes gzip and the body is worth it
}

// body is a representation's bytes: a bytes.Reader or a layer above one.
type body interface {
	io.ReaderAt
	Size() int64
}

// reply is an answer as it will go over the wire.
type reply struct {
	status int
	header http.Header
	body   io.Reader // nil for none
	size   int64     // of the body; unknown if negative
	total  int64     // of the whole representation, for Content-Range

	framing    framing
	cutAt      int64           // bytes of body after which the connection ends; none if negative
	reset      bool            // it ends by RST instead of FIN
	cutPerLine bool            // cutAt counts over the life of the connection
	stallAt    int64           // bytes of body after which silence falls; none if negative
	silent     bool            // silence falls before the first byte of the header
	hangUp     bool            // the connection ends before the first byte of the header
	effects    []func()        // called once the silence, or the end, has come
	release    <-chan struct{} // ends the silence
}

// framing is how the end of a body is made known.
type framing int

const (
	framedByLength framing = iota // Content-Length
	framedByChunks                // chunked
	framedByClose                 // the end of the connection
)

// Told is a lie that a server tells until it is stopped.
type Told struct {
	target Target
	lie    Lie
	times  int // 0: for ever

	mu       sync.Mutex
	count    int
	stopped  bool
	reached  chan struct{}
	released chan struct{}
	once     struct{ reach, release sync.Once }
}

func newTold(target Target, lie Lie, times int) *Told {
	return &Told{
		target: target, lie: lie, times: times,
		reached: make(chan struct{}), released: make(chan struct{}),
	}
}

// Count is how many requests the lie was applied to.
func (t *Told) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Stop ends the lie: requests that come from now on get the truth. Those that
// are stalled stay so until Release.
func (t *Told) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
}

// Release ends the silence of a stalling lie, for the requests that are in it
// and for all that come; they go on where they stood.
func (t *Told) Release() { t.once.release.Do(func() { close(t.released) }) }

// Reached is closed when the lie has first taken effect: the silence or the end
// has come; for a lie without either, when it was first applied.
func (t *Told) Reached() <-chan struct{} { return t.reached }

func (t *Told) reach() { t.once.reach.Do(func() { close(t.reached) }) }

// claim takes one of the tellings for a request; number counts from 1.
func (t *Told) claim(s subject, r *http.Request) (number int, ok bool) {
	if !t.target.matches(s) || t.lie.applies != nil && !t.lie.applies(r) {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || t.times > 0 && t.count >= t.times {
		return 0, false
	}
	t.count++
	return t.count, true
}

// claimed is a lie as it was claimed for one request.
type claimed struct {
	*Told
	number int
}

// liar keeps the lies of a server.
type liar struct {
	mu   sync.Mutex
	told []*Told
}

func (l *liar) tell(t *Told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, t)
}

// truth stops and releases every lie and forgets them.
func (l *liar) truth() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.told {
		t.Stop()
		t.Release()
	}
	l.told = nil
}

func (l *liar) claim(s subject, r *http.Request) []claimed {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []claimed
	for _, t := range l.told {
		if number, ok := t.claim(s, r); ok {
			out = append(out, claimed{t, number})
		}
	}
	return out
}

// bend applies one lie to the answer.
func (t claimed) bend(a *reply, r *http.Request) {
	if t.lie.reply != nil {
		stallAt, silent := a.stallAt, a.silent
		t.lie.reply(a, r)
		if a.stallAt != stallAt || a.silent != silent {
			a.release = t.released
		}
	}
	if t.lie.late {
		a.effects = append(a.effects, t.reach)
	} else {
		t.reach()
	}
}

func hasRange(r *http.Request) bool { return r.Header.Get("Range") != "" }

func isGet(r *http.Request) bool { return r.Method == http.MethodGet }

func isPost(r *http.Request) bool { return r.Method == http.MethodPost }

// hasBody tells whether the answer has a body that a lie can be about.
func hasBody(r *http.Request) bool { return isGet(r) || isPost(r) }
