package syncer

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
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
	Asked      time.Time           `json:"asked,omitzero"`      // when the page was last asked for, to within a day
	Page       *Trouble            `json:"page,omitempty"`      // with its page
	Files      map[string]*Trouble `json:"files,omitempty"`     // by filename, ".metadata" behind it
	HeldBack   int                 `json:"held_back,omitempty"` // files that the upstream removed and the guard keeps
	Refused    []pypi.Refusal      `json:"refused,omitempty"`   // entries of the page that were left out
	Remarks    []string            `json:"remarks,omitempty"`   // of the plan
	Wish       *Wish               `json:"wish,omitempty"`      // a client asked in vain
}

func (n *note) empty() bool {
	return n.Validators == upstream.Validators{} && n.Wish == nil && !n.troubled()
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

// asked notes that the page was asked for. It is written down no more than once a
// day, to spare the card.
func (n *note) asked(now time.Time) {
	if since := now.Sub(n.Asked); since < 0 || since >= 24*time.Hour {
		n.Asked = now
	}
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

// notebook keeps the notes in memory and writes them when they change.
type notebook struct {
	store Notes

	mu     sync.Mutex
	loaded bool
	notes  map[pypi.Name]*note
	raw    map[pypi.Name]string
}

// load reads all notes once. Its lock is held.
func (b *notebook) load() error {
	if b.loaded {
		return nil
	}
	b.notes, b.raw = make(map[pypi.Name]*note), make(map[pypi.Name]string)
	err := b.store.Notes(func(name pypi.Name, raw []byte) bool {
		var n note
		if name != "" && json.Unmarshal(raw, &n) == nil {
			b.notes[name], b.raw[name] = &n, string(raw)
		}
		return true
	})
	b.loaded = err == nil
	return err
}

// get gives a copy of a project's note.
func (b *notebook) get(name pypi.Name) (note, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(); err != nil {
		return note{}, err
	}
	if n := b.notes[name]; n != nil {
		return n.clone(), nil
	}
	return note{}, nil
}

// edit changes a project's note, and makes the change durable if it is one.
func (b *notebook) edit(name pypi.Name, change func(*note)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(); err != nil {
		return err
	}
	var n note
	if old := b.notes[name]; old != nil {
		n = old.clone()
	}
	change(&n)
	var raw []byte
	if !n.empty() {
		var err error
		if raw, err = json.Marshal(&n); err != nil {
			return err
		}
	}
	if b.raw[name] == string(raw) {
		return nil
	}
	if err := b.store.SetNote(name, raw); err != nil {
		return err
	}
	b.notes[name], b.raw[name] = &n, string(raw)
	if raw == nil {
		delete(b.notes, name)
		delete(b.raw, name)
	}
	return nil
}

// all gives copies of every note.
func (b *notebook) all() map[pypi.Name]note {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[pypi.Name]note, len(b.notes))
	if b.load() != nil {
		return out
	}
	for name, n := range b.notes {
		out[name] = n.clone()
	}
	return out
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
