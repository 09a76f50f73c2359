package syncer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/mirror"
	"cheeseboard/syncer/wire"
)

// Problem is something that a person should know of one project.
type Problem struct {
	Project  pypi.Name  `json:"project"`
	File     string     `json:"file,omitempty"` // "" for the page
	Reason   string     `json:"reason"`
	Cause    wire.Cause `json:"cause,omitempty"`
	Failures int        `json:"failures,omitempty"`
	Since    time.Time  `json:"since,omitzero"`
	NextTry  time.Time  `json:"next_try,omitzero"` // zero: it is no failure, or waits for a person
}

// LineStatus is the judgement of the line for people.
type LineStatus struct {
	Up       bool       `json:"up"`
	State    link.State `json:"state"`
	Since    time.Time  `json:"since,omitzero"`
	Cause    string     `json:"cause,omitempty"`
	Sentence string     `json:"sentence"` // the cause, since when, the next try
	NextTry  time.Time  `json:"next_try,omitzero"`
	Received int64      `json:"received"` // bytes since the program started
}

// Status is how the engine is doing.
type Status struct {
	Upstream string          `json:"upstream"`
	Selected int             `json:"selected"` // requirements of the configuration
	Line     LineStatus      `json:"line"`
	Budget   budget.Status   `json:"budget"`
	Syncing  bool            `json:"syncing"`
	Progress Progress        `json:"progress,omitzero"` // of the pass that is under way
	Last     *Summary        `json:"last,omitempty"`    // the last pass that did something
	Sources  []mirror.Status `json:"sources"`           // mirrors, and hosts of files that are in trouble
	Wishes   []WishStatus    `json:"wishes"`            // what clients asked for in vain; fetched when the line is back
	Roll     *RollStatus     `json:"roll,omitempty"`    // the list of all projects of the upstream, where it is fetched
	Problems []Problem       `json:"problems"`
	Left     int             `json:"problems_left,omitempty"` // projects whose problems are not listed: there are too many
}

// Status tells how the engine is doing. It does not wait for anything.
func (e *Engine) Status() (Status, error) {
	v := e.Line.Verdict()
	s := Status{
		Upstream: e.index.Address(), Selected: len(e.opts.Selection),
		Line: LineStatus{Up: v.Up, State: v.State, Since: v.Since, Cause: v.Cause, Sentence: e.Sentence(), NextTry: v.Probe, Received: e.wire.Received()},

		Sources: e.Sources(),
	}
	if e.opts.Budget != nil {
		s.Budget = e.opts.Budget.Status()
	}
	e.mu.Lock()
	p := e.pass
	e.mu.Unlock()
	if p != nil {
		s.Syncing, s.Progress = true, p.snapshot()
	}
	var errs [4]error
	var own ownNote
	s.Problems, s.Left, errs[0] = e.problems()
	s.Wishes, errs[1] = e.wishes()
	own, errs[2] = e.notes.own()
	s.Roll, errs[3] = e.rollStatus()
	s.Last = own.Last
	return s, errors.Join(errs[:]...)
}

// Progress tells how far the running pass is; false where none is running.
func (e *Engine) Progress() (Progress, bool) {
	e.mu.Lock()
	p := e.pass
	e.mu.Unlock()
	if p == nil {
		return Progress{}, false
	}
	return p.snapshot(), true
}

// WaitPass waits until the pass that is under way has ended, or ctx has.
func (e *Engine) WaitPass(ctx context.Context) {
	e.mu.Lock()
	p := e.pass
	e.mu.Unlock()
	if p == nil {
		return
	}
	select {
	case <-p.over:
	case <-ctx.Done():
	}
}

// snapshot adds to what is done the bytes of the files that are arriving.
func (p *pass) snapshot() Progress {
	p.mu.Lock()
	s := p.progress
	s.Rate = p.rate
	for label := range p.current {
		s.Current = append(s.Current, label)
	}
	p.mu.Unlock()
	slices.Sort(s.Current)
	p.Engine.mu.Lock()
	defer p.Engine.mu.Unlock()
	for _, d := range p.downloads {
		if d.item.Metadata {
			continue
		}
		d.mu.Lock()
		if !d.ended {
			s.BytesDone += d.offset
		}
		d.mu.Unlock()
	}
	if left := s.Bytes - s.BytesDone; left > 0 && s.Rate >= 1 {
		s.Remaining = time.Duration(float64(left) / s.Rate * float64(time.Second)).Round(time.Second)
	}
	return s
}

// maxTroubled is how many projects' problems are told; after a long outage there
// may be as many as are selected.
const maxTroubled = 1000

// problems lists what the notes hold, by project and file, and how many projects
// in trouble are left out.
func (e *Engine) problems() (out []Problem, left int, err error) {
	names, _, err := e.notes.listed(listTrouble)
	if len(names) > maxTroubled {
		names, left = names[:maxTroubled], len(names)-maxTroubled
	}
	out = []Problem{}
	for _, name := range names {
		n, noteErr := e.notes.peek(name)
		err = errors.Join(err, noteErr)
		out = append(out, n.problems(name)...)
	}
	slices.SortFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.File, b.File), cmp.Compare(a.Reason, b.Reason))
	})
	return out, left, err
}

func (n *note) problems(name pypi.Name) (out []Problem) {
	add := func(file string, t *Trouble) {
		out = append(out, Problem{Project: name, File: file, Reason: t.Reason, Cause: t.Cause, Failures: t.Failures, Since: t.Since, NextTry: t.NextTry})
	}
	if n.Page != nil {
		add("", n.Page)
	}
	for file, t := range n.Files {
		add(file, t)
	}
	if n.HeldBack > 0 {
		out = append(out, Problem{Project: name, Reason: heldBackReason(n.HeldBack)})
	}
	for _, r := range n.Refused {
		out = append(out, Problem{Project: name, File: r.Filename, Reason: "left out of its page: " + r.Reason})
	}
	for _, r := range n.Remarks {
		out = append(out, Problem{Project: name, Reason: r})
	}
	return out
}

func heldBackReason(n int) string {
	files, are := "1 file that is", "it is"
	if n != 1 {
		files, are = strconv.Itoa(n)+" files that are", "they are"
	}
	return "the upstream no longer lists " + files + " here; " + are + " kept until the next sync, or, where that would remove too much, until cheeseboard sync --accept-removals"
}
