package syncer

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

const (
	// rollBatch is how many names are stored at once: some 60 KB of names, or twice
	// as much of the list.
	rollBatch = 4096
	// rollAgain is how old the list of all projects becomes before it is fetched anew.
	rollAgain = 30 * 24 * time.Hour
)

// rollNote is what is known of the upstream's list of projects.
type rollNote struct {
	Upstream string    `json:"upstream"`
	Whole    *rollList `json:"whole,omitempty"` // the list that came to its end
	Coming   *rollList `json:"coming,omitempty"`
}

// rollList is one of the two lists of a Roll.
type rollList struct {
	List       byte                `json:"list"`
	Names      int                 `json:"names"`              // how many
	Unsorted   bool                `json:"unsorted,omitempty"` // they came in no order
	Place      upstream.Place      `json:"place,omitzero"`     // where to go on
	Top        pypi.Name           `json:"top,omitempty"`      // the greatest name, while they come in order
	Validators upstream.Validators `json:"validators,omitzero"`
	At         time.Time           `json:"at,omitzero"` // when it began to come
}

// RollStatus is how far the list of all projects of the upstream is here.
type RollStatus struct {
	Names  int       `json:"names"`       // that are known
	At     time.Time `json:"at,omitzero"` // when the upstream had them; zero where no list came to its end yet
	Coming int       `json:"coming"`      // names of a list that has not come to its end
}

func (e *Engine) rollNote() (rollNote, error) {
	var n rollNote
	raw, err := e.opts.Roll.RollState()
	if err == nil && raw != nil && json.Unmarshal(raw, &n) != nil {
		n = rollNote{} // what cannot be read is learnt anew
	}
	if n.Upstream != e.index.Address() {
		n = rollNote{Upstream: e.index.Address()}
	}
	return n, err
}

// rollStatus tells how far the list is here; nil where it is not fetched.
func (e *Engine) rollStatus() (*RollStatus, error) {
	if e.opts.Roll == nil {
		return nil, nil
	}
	n, err := e.rollNote()
	s := &RollStatus{}
	if n.Coming != nil {
		s.Coming = n.Coming.Names
	}
	if n.Whole != nil {
		s.Names, s.At = n.Whole.Names, n.Whole.At
	}
	return s, err
}

// Heard calls yield with the names of the upstream's projects, as far as its list
// has come, until it returns false: in no order, and some perhaps twice.
func (e *Engine) Heard(yield func(pypi.Name) bool) error {
	if e.opts.Roll == nil {
		return nil
	}
	n, err := e.rollNote()
	more := true
	for _, l := range []*rollList{n.Whole, n.Coming} {
		if err == nil && more && l != nil {
			err = e.opts.Roll.Roll(l.List, func(name pypi.Name) bool { more = yield(name); return more })
		}
	}
	return err
}

// unheardOf tells whether the upstream had no project of a name when its list was
// fetched, and when that was.
func (e *Engine) unheardOf(name pypi.Name) (at time.Time, is bool) {
	if e.opts.Roll == nil {
		return at, false
	}
	n, err := e.rollNote()
	if err != nil || n.Whole == nil {
		return at, false
	}
	known, err := e.opts.Roll.InRoll(n.Whole.List, name, !n.Whole.Unsorted)
	return n.Whole.At, err == nil && !known
}

// roll brings the list of all projects of the upstream, or more of it. It is no part
// of what the pass is for: that it does not come is no failure of the pass.
func (p *pass) roll() {
	if p.Engine.opts.Roll == nil {
		return
	}
	note, err := p.rollNote()
	if err == nil && note.Coming == nil && note.Whole != nil && within(note.Whole.At, p.now(), rollAgain) {
		return
	}
	if err == nil {
		err = p.admit(budget.Background)
	}
	if err == nil {
		done := p.working("the list of all projects")
		err = p.fetchRoll(&note)
		done()
	}
	if err != nil && !ours(err) {
		p.log.Info("the list of all projects did not come to its end; the next sync goes on with it", "reason", err)
	}
}

func (p *pass) fetchRoll(note *rollNote) error {
	keep := p.Engine.opts.Roll
	q := upstream.RootQuery{Reading: new(upstream.Place)}
	if note.Coming == nil {
		note.Coming = &rollList{At: p.now()}
		if note.Whole != nil {
			note.Coming.List, q.Validators = 1-note.Whole.List, note.Whole.Validators
		}
		// What an earlier list left behind, of another upstream perhaps, goes first.
		if err := p.drop(note.Coming.List, note); err != nil {
			return err
		}
	}
	q.From = note.Coming.Place
	w := &rollWriter{keep: keep, note: note, reading: q.Reading}
	got, err := p.index.Feed().Root(budget.With(p.ctx, budget.Background), q, w.take)
	switch {
	case err != nil:
		// The place is that of the last batch: what came after it is taken once more.
		return errors.Join(err, w.flush(got.Place))
	case got.NotModified:
		note.Whole.At, note.Coming = p.now(), nil
		return p.save(note)
	}
	if err := w.flush(upstream.Place{}); err != nil {
		return err
	}
	if note.Coming.Names == 0 {
		return &wire.Problem{Cause: wire.Lie, URL: p.index.Address(), Err: errors.New("its root list names no project")}
	}
	old := note.Whole
	note.Coming.Validators = got.Validators
	note.Whole, note.Coming = note.Coming, nil
	p.log.Info("the list of all projects is here", "projects", note.Whole.Names, "bytes", got.Bytes)
	if old == nil {
		return p.save(note)
	}
	return p.drop(old.List, note)
}

func (p *pass) save(note *rollNote) error {
	raw, err := json.Marshal(note)
	if err != nil {
		return err
	}
	return p.Engine.opts.Roll.AddRoll(0, nil, raw)
}

func (p *pass) drop(list byte, note *rollNote) error {
	raw, err := json.Marshal(note)
	if err != nil {
		return err
	}
	return p.Engine.opts.Roll.DropRoll(list, raw)
}

// rollWriter stores names as they come, in batches.
type rollWriter struct {
	keep    Roll
	note    *rollNote
	reading *upstream.Place

	batch  []pypi.Name
	offset int64     // in the list, of the name before
	before pypi.Name // the name before, in the same answer
	top    pypi.Name // the greatest name so far
}

// take takes one name. Where a list begins anew, since the upstream gives no parts of
// it, the names that have come are passed over.
func (w *rollWriter) take(e pypi.ListEntry) error {
	l := w.note.Coming
	if w.top == "" {
		w.top = l.Top
	}
	if w.reading.Offset < w.offset {
		w.before = "" // another answer, from the beginning
	}
	l.Unsorted = l.Unsorted || e.Name < w.before
	w.offset, w.before = w.reading.Offset, e.Name
	if !l.Unsorted && e.Name <= w.top {
		return nil
	}
	w.top = max(w.top, e.Name)
	if w.batch = append(w.batch, e.Name); len(w.batch) < rollBatch {
		return nil
	}
	return w.flush(*w.reading)
}

// flush stores what has gathered, and from where to go on behind it.
func (w *rollWriter) flush(place upstream.Place) error {
	l := w.note.Coming
	if len(w.batch) == 0 && place == l.Place {
		return nil
	}
	l.Place, l.Top = place, w.top
	l.Names += len(w.batch)
	raw, err := json.Marshal(w.note)
	if err != nil {
		return err
	}
	if err := w.keep.AddRoll(l.List, w.batch, raw); err != nil {
		return fmt.Errorf("keep the list of all projects: %w", err)
	}
	w.batch = w.batch[:0]
	return nil
}
