package syncer

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// Trouble is why something could not be had, and when it is tried again.
type Trouble struct {
	Reason   string     `json:"reason"`
	Cause    wire.Cause `json:"cause,omitempty"`
	Failures int        `json:"failures"`
	Since    time.Time  `json:"since"`
	NextTry  time.Time  `json:"next_try"`
}

// note is what is remembered of one project.
type note struct {
	Upstream   string              `json:"upstream"` // the validators are this index's
	Validators upstream.Validators `json:"validators"`
	Asked      time.Time           `json:"asked,omitzero"`      // when the page was last asked for; see asked
	Expect     int64               `json:"expect,omitempty"`    // serial that the page must have: a cache on the way was behind
	Page       *Trouble            `json:"page,omitempty"`      // with its page
	Files      map[string]*Trouble `json:"files,omitempty"`     // by filename, ".metadata" behind it
	HeldBack   int                 `json:"held_back,omitempty"` // files that the upstream removed and the guard keeps
	Refused    []pypi.Refusal      `json:"refused,omitempty"`   // entries of the page that were left out
	Remarks    []string            `json:"remarks,omitempty"`   // of the plan
	Wish       *Wish               `json:"wish,omitempty"`      // a client asked in vain
}

func (n *note) empty() bool {
	return n.Validators == upstream.Validators{} && n.Upstream == "" && n.Asked.IsZero() && n.Wish == nil && !n.troubled()
}

// doubtful tells whether the stored page may not be what the upstream would say
// now, although neither validators nor serials tell: removals were kept back, or
// entries or files of it were no good, or it lacks what is wanted. Then it may be
// the page that is wrong.
func (n *note) doubtful() bool {
	return n.HeldBack > 0 || len(n.Refused) > 0 || len(n.Files) > 0 || len(n.Remarks) > 0
}

// troubled tells whether there is something to report.
func (n *note) troubled() bool {
	return n.Page != nil || len(n.Files) > 0 || n.HeldBack > 0 || len(n.Refused) > 0 || len(n.Remarks) > 0
}

func (n *note) retries() []time.Time {
	var out []time.Time
	if n.Page != nil {
		out = append(out, n.Page.NextTry)
	}
	for _, t := range n.Files {
		out = append(out, t.NextTry)
	}
	return out
}

// maxFileTroubles bounds what is kept of one project.
const maxFileTroubles = 200

// troubleLife is how long a file's failure is told of that nobody wants any more.
const troubleLife = 7 * 24 * time.Hour

// settle forgets the failures of files that are not wanted and were not tried for
// long. Metadata stay: whether they may be advertised goes by their failure.
func (n *note) settle(wanted func(label string) bool, now time.Time) {
	for label, t := range n.Files {
		if _, metadata := cutMetadata(label); !metadata && !wanted(label) && now.Sub(t.NextTry) > troubleLife {
			delete(n.Files, label)
		}
	}
}

// fail notes a failure of a page (filename "") or of a file.
func (n *note) fail(filename string, err error, now time.Time, first, most time.Duration) {
	slot := n.Page
	if filename != "" {
		slot = n.Files[filename]
	}
	t := Trouble{Since: now}
	if slot != nil {
		t = *slot
	}
	t.Failures++
	t.Reason, t.Cause = err.Error(), wire.CauseOf(err)
	t.NextTry = now.Add(retryAfter(t.Failures, err, first, most))
	switch {
	case filename == "":
		n.Page = &t
	case slot != nil || len(n.Files) < maxFileTroubles:
		if n.Files == nil {
			n.Files = make(map[string]*Trouble)
		}
		n.Files[filename] = &t
	}
}

// retryAfter doubles from first to most, with jitter of a quarter so that what
// failed together is not tried together; what the upstream asked for counts.
func retryAfter(failures int, err error, first, most time.Duration) time.Duration {
	d := min(first<<min(failures-1, 20), most)
	if d <= 0 {
		d = most
	}
	d += time.Duration(rand.Int64N(int64(d)/4 + 1))
	var p *wire.Problem
	if asProblem(err, &p) {
		d = max(d, p.RetryAfter)
	}
	return d
}

// due tells whether it is time for a page or a file. A next try that lies
// absurdly far ahead comes from a clock that was wrong.
func due(t *Trouble, now time.Time) bool {
	return t == nil || !now.Before(t.NextTry) || t.NextTry.Sub(now) > 7*24*time.Hour
}

// The lists in which a project stands by what is noted of it, and under what time:
// what is to happen is found without reading every note.
const (
	listRetry   = "retry"   // something of it failed: the first next try
	listTrouble = "trouble" // there is something to report: since when, where that is known
	listWish    = "wish"    // a client asked in vain: when last
)

// lists tells where a project belongs.
func (n *note) lists() map[string]time.Time {
	lists := make(map[string]time.Time)
	if next := n.retries(); len(next) > 0 {
		lists[listRetry] = slices.MinFunc(next, time.Time.Compare)
	}
	if n.troubled() {
		lists[listTrouble] = time.Time{}
		if n.Page != nil {
			lists[listTrouble] = n.Page.Since
		}
	}
	if n.Wish != nil {
		lists[listWish] = n.Wish.Last
	}
	return lists
}

// maxKnown is how many notes stay in memory: those of the pages that a class asks
// for, again and again.
const maxKnown = 1024

// notebook reads and changes notes. Each change is durable when it returns; those of
// different projects do not wait for one another, so that the store can make them
// durable together.
type notebook struct {
	store Notes
	index string // the address of the upstream

	changes atomic.Uint64 // of what get gives

	mu    sync.Mutex              // not held over the disk
	known map[pypi.Name]note      // as they are stored; the zero note where there is none
	epoch int                     // grows when something is forgotten of known
	busy  map[pypi.Name]chan bool // those that are being changed; closed when that is done
}

// claim waits until nobody changes a project's note, and keeps others from it until
// release is called. The name of no project is that of the syncer's own.
func (b *notebook) claim(name pypi.Name) (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.busy[name] != nil {
		done := b.busy[name]
		b.mu.Unlock()
		<-done
		b.mu.Lock()
	}
	if b.busy == nil {
		b.busy = make(map[pypi.Name]chan bool)
	}
	done := make(chan bool)
	b.busy[name] = done
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.busy, name)
		close(done)
	}
}

func (b *notebook) load(name pypi.Name) (n note, err error) {
	raw, err := b.store.Note(name)
	if err != nil {
		return n, err
	}
	if raw != nil && n.unmarshal(raw, b.index) != nil {
		n = note{} // what cannot be read is learnt anew
	}
	return n, nil
}

// keep remembers a note; b.mu is held.
func (b *notebook) keep(name pypi.Name, n note) {
	if b.known == nil || len(b.known) >= maxKnown {
		b.known = make(map[pypi.Name]note)
		b.epoch++
	}
	b.known[name] = n
}

// get gives a copy of a project's note. It waits for nobody who changes one, nor for
// others who read: clients wait for it.
func (b *notebook) get(name pypi.Name) (note, error) {
	n, epoch, ok := b.recall(name)
	if ok {
		return n, nil
	}
	n, err := b.load(name)
	if err != nil {
		return n, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// It may have been changed since it was read. Then the change is known, unless
	// something was forgotten.
	if newer, ok := b.known[name]; ok {
		n = newer
	} else if b.epoch == epoch {
		b.keep(name, n)
	}
	return n.clone(), nil
}

// recall gives a copy of a note that is in memory.
func (b *notebook) recall(name pypi.Name) (n note, epoch int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ok = b.known[name]
	return n.clone(), b.epoch, ok
}

// peek is get for those who look through many: it leaves in memory what was there.
func (b *notebook) peek(name pypi.Name) (note, error) {
	if n, _, ok := b.recall(name); ok {
		return n, nil
	}
	return b.load(name)
}

// edit changes a project's note, and makes the change durable if it is one.
func (b *notebook) edit(name pypi.Name, change func(*note)) error {
	return b.editWith(name, change, nil)
}

// editWith is edit for a change that becomes durable together with something else: put
// writes both, also where the note stays as it is.
func (b *notebook) editWith(name pypi.Name, change func(*note), put func(note []byte, lists map[string]time.Time) error) error {
	defer b.claim(name)()
	n, err := b.get(name)
	if err != nil {
		return err
	}
	old := n.clone()
	change(&n)
	before, err := old.marshal()
	if err != nil {
		return err
	}
	after, err := n.marshal()
	if err != nil || put == nil && bytes.Equal(before, after) {
		return err
	}
	if put == nil {
		err = b.store.SetNote(name, after, n.lists())
	} else {
		err = put(after, n.lists())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.changes.Add(1)
	if err != nil {
		delete(b.known, name) // who can tell what is stored now
		b.epoch++
		return err
	}
	// Whoever read the note meanwhile has kept the old one.
	b.keep(name, n)
	return nil
}

// listed gives the projects of a list with their times, in order of the name.
func (b *notebook) listed(list string) (names []pypi.Name, times []time.Time, err error) {
	err = b.store.Listed(list, func(name pypi.Name, at time.Time) bool {
		names, times = append(names, name), append(times, at)
		return true
	})
	return names, times, err
}

func (n *note) clone() note {
	c := *n
	if n.Page != nil {
		p := *n.Page
		c.Page = &p
	}
	if n.Wish != nil {
		w := *n.Wish
		c.Wish = &w
	}
	c.Files = make(map[string]*Trouble, len(n.Files))
	for k, t := range n.Files {
		v := *t
		c.Files[k] = &v
	}
	c.Refused, c.Remarks = slices.Clone(n.Refused), slices.Clone(n.Remarks)
	return c
}
