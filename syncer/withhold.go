package syncer

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
)

// What the rules do not let out is not offered, not given out and not fetched. What
// was here before a rule was made stays on the disk, unpinned: a rule can be taken
// back.

// maxNotes is how many files a page names that are withheld; the others are counted.
const maxNotes = 20

// Withheld tells why a file of a project is not given out now; "" where it is.
func (e *Engine) Withheld(name pypi.Name, f *pypi.File) string {
	return e.opts.Rules.File(name, f, e.moment(name)).Reason
}

// moment is the time for which the age of a project's files counts. What was uploaded
// here need not come of age: nobody is waited for to find out what it is.
func (e *Engine) moment(name pypi.Name) time.Time {
	if e.opts.Private(name) {
		return e.now().AddDate(1000, 0, 0)
	}
	return e.now()
}

// Blocked tells whether nothing of a project is given out, and why.
func (e *Engine) Blocked(name pypi.Name) (reason string, blocked bool) {
	return e.opts.Rules.Project(name)
}

// BlockedMark changes with the projects that are blocked.
func (e *Engine) BlockedMark() string { return e.opts.Rules.ListMark() }

// Ruled gives a text that changes whenever what the rules let out of a page does: with
// the rules, and with each file that comes of age. generation is that of the page.
func (e *Engine) Ruled(name pypi.Name, generation uint64) (string, error) {
	text, _, err := e.ruled(name, generation)
	return text, err
}

// ruled is Ruled, with a moment for which it holds.
func (e *Engine) ruled(name pypi.Name, generation uint64) (text string, at time.Time, err error) {
	at = e.moment(name)
	mark := e.opts.Rules.Mark(name)
	if mark == "" {
		return "", at, nil
	}
	text = "p" + mark
	if !e.opts.Rules.Ages() {
		return text, at, nil
	}
	young, known := e.spells.find(name, generation, at)
	if !known {
		s := spell{generation: generation, from: at}
		if s.young, s.until, err = e.young(name, at); err != nil {
			return "", at, err
		}
		e.spells.keep(name, s)
		young = s.young
	}
	// Of one generation files only come of age: their number tells which are left.
	return fmt.Sprintf("%s.%d", text, young), at, nil
}

// young counts the files of a page that are held back for their age, and tells when
// the first of them is not any more; zero for never.
func (e *Engine) young(name pypi.Name, now time.Time) (n int, until time.Time, err error) {
	_, err = e.cat.Visit(name, func(_ *pypi.Project, _ uint64, files pypi.Files) error {
		for f, err := range files {
			if err != nil {
				return err
			}
			v := e.opts.Rules.File(name, f, now)
			if v.Until.IsZero() {
				continue
			}
			n++
			if until.IsZero() || v.Until.Before(until) {
				until = v.Until
			}
		}
		return nil
	})
	return n, until, err
}

// given leaves out files that the rules do not let out.
func (e *Engine) given(name pypi.Name, files pypi.Files, now time.Time) pypi.Files {
	if !e.opts.Rules.Concerns(name) {
		return files
	}
	return func(yield func(*pypi.File, error) bool) {
		for f, err := range files {
			if err == nil && !e.opts.Rules.File(name, f, now).Given() {
				continue
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// withholding says what is left out of a page, in sentences for its readers; nil where
// nothing is.
func (e *Engine) withholding(name pypi.Name, files pypi.Files, now time.Time) ([]string, error) {
	if !e.opts.Rules.Concerns(name) {
		return nil, nil
	}
	var notes []string
	more := 0
	for f, err := range files {
		if err != nil {
			return nil, err
		}
		switch v := e.opts.Rules.File(name, f, now); {
		case v.Given():
		case len(notes) < maxNotes:
			notes = append(notes, v.Reason)
		default:
			more++
		}
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more files are held back or blocked", more))
	}
	return notes, nil
}

// plan chooses what is wanted of a page, of what the rules let out.
func (p *pass) plan(page *pypi.Project, requirements []pypi.Requirement) plan.Plan {
	now, blocked, young := p.now(), 0, 0
	page.Files = slices.DeleteFunc(page.Files, func(f pypi.File) bool {
		v := p.Engine.opts.Rules.File(page.Name, &f, now)
		switch {
		case v.Given():
		case v.Until.IsZero():
			blocked++
		default:
			young++
		}
		return !v.Given()
	})
	chosen := plan.Choose(page, requirements, p.Engine.opts.Policy)
	if reason, all := p.Blocked(page.Name); all {
		chosen.Notes = []string{reason}
	} else if blocked > 0 {
		chosen.Notes = append(chosen.Notes, fmt.Sprintf("%d files on its page are blocked by [policy]", blocked))
	}
	if len(chosen.Choices) == 0 && young > 0 {
		chosen.Notes = append(chosen.Notes, fmt.Sprintf("%d files on its page are held back by policy.min-age", young))
	}
	return chosen
}

// spell is a time in which a page stays as it is, as far as the age of its files goes.
type spell struct {
	generation  uint64
	from, until time.Time // until is zero for ever
	young       int
}

// maxSpells bounds those that are remembered; each is found again by reading a page.
const maxSpells = 4096

// spells remembers, so that a page that did not change need not be read to say so.
type spells struct {
	mu   sync.Mutex
	kept map[pypi.Name]spell
}

func (s *spells) find(name pypi.Name, generation uint64, now time.Time) (young int, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[name]
	ok = ok && k.generation == generation && !now.Before(k.from) && (k.until.IsZero() || now.Before(k.until))
	return k.young, ok
}

func (s *spells) keep(name pypi.Name, k spell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = make(map[pypi.Name]spell)
	}
	if len(s.kept) >= maxSpells {
		clear(s.kept)
	}
	s.kept[name] = k
}
