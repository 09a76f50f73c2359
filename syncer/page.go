package syncer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/wire"
)

// View is a project's page as it may be offered at this moment.
type View struct {
	Tag string // changes whenever what Visit gives changes
	// Visit hands the page to use, without files, and what gives these, one after
	// the other, until use returns. Its error is use's or of the store.
	Visit func(use func(*pypi.Project, pypi.Files) error) error
	// Still tells whether Page would give the same at this moment. Unless something was
	// stored meanwhile it reads memory only; it never waits. nil: that cannot be told.
	Still func() bool
}

// Page gives the page of a project for a client. While the line is good and
// pulling through is on, the upstream is asked first where the page is not fresh,
// for no longer than the options say, and all its files are offered; otherwise
// those that are here, at once. Errors: *Absent, and those of the store.
func (e *Engine) Page(ctx context.Context, name pypi.Name) (View, error) {
	if reason, blocked := e.opts.Rules.Project(name); blocked {
		return View{}, &Absent{Reason: reason}
	}
	if e.opts.Private(name) {
		return e.privatePage(name)
	}
	s := e.stay(ctx)
	trusted, lookErr := e.freshen(s, name)
	v, known, err := e.view(s, name, trusted)
	if err != nil || known {
		return v, err
	}
	if hereOnly(ctx) {
		return View{}, &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard", name)}
	}
	return View{}, e.absentPage(s, name, lookErr)
}

// view gives a page that is stored, as it may be offered; trusted: as the upstream has
// it, as far as is known.
func (e *Engine) view(s stay, name pypi.Name, trusted bool) (v View, known bool, err error) {
	ctx := s.ctx
	seen := e.seen() // before all that is read
	generation, known, err := e.cat.Generation(name)
	if err != nil || !known {
		return View{}, known, err
	}
	n, err := e.notes.get(name)
	if err != nil {
		return View{}, true, err
	}
	all := e.opts.Pull && trusted && e.Line.Up() && !hereOnly(ctx) && !n.carried() // or nobody has the rest
	var besides map[pypi.Digest]bool
	if e.opts.Pull && !e.Line.Up() && !hereOnly(ctx) {
		besides = e.besides(s, name)
	}
	tag := fmt.Sprintf("%d", generation)
	if !all {
		tag += "h" + tagOf(besides) // what is here, or at a mirror
	}
	bad := n.badMetadata()
	if len(bad) > 0 {
		sum := fnv.New32a()
		for _, b := range bad {
			_, _ = io.WriteString(sum, b+"\n") // hash.Hash never fails
		}
		tag += fmt.Sprintf("m%x", sum.Sum32())
	}
	ruled, at, err := e.ruled(name, generation)
	if err != nil {
		return View{}, true, err
	}
	stored := e.storedAt(seen, name, generation, bad)
	return View{
		Tag: tag + ruled,
		Visit: func(use func(*pypi.Project, pypi.Files) error) error {
			return e.offer(name, offering{all, besides, at}, bad, use)
		},
		Still: e.stillOffered(ctx, stored, all),
	}, true, nil
}

// privatePage gives what was uploaded here, and nothing else. Its tag tells it from
// the page of an upstream that was here under that name.
func (e *Engine) privatePage(name pypi.Name) (View, error) {
	seen := e.seen() // before all that is read
	generation, known, err := e.cat.Generation(name)
	if err == nil && !known {
		err = &Absent{Reason: fmt.Sprintf("%s is one of this cheeseboard's own names (private.names), and nothing was uploaded under it; the upstream is not asked for such names", name)}
	}
	if err != nil {
		return View{}, err
	}
	ruled, at, err := e.ruled(name, generation)
	return View{
		Tag: fmt.Sprintf("%do%s", generation, ruled),
		Visit: func(use func(*pypi.Project, pypi.Files) error) error {
			return e.offer(name, offering{at: at}, nil, use)
		},
		Still: e.storedAt(seen, name, generation, nil).same,
	}, err
}

// badMetadata lists the files whose advertised metadata turned out not to be
// there, or to be wrong: offering it would fail the client's installation.
func (n *note) badMetadata() []string {
	var out []string
	for label, t := range n.Files {
		filename, is := cutMetadata(label)
		if is && (t.Cause == wire.Gone || t.Cause == wire.Refused || t.Cause == wire.Lie || t.Cause == "") {
			out = append(out, filename)
		}
	}
	slices.Sort(out)
	return out
}

func cutMetadata(label string) (string, bool) {
	const suffix = ".metadata"
	n := len(label) - len(suffix)
	if n <= 0 || label[n:] != suffix {
		return label, false
	}
	return label[:n], true
}

// offering is what can be delivered besides that which is here.
type offering struct {
	all     bool                 // whatever the page lists
	besides map[pypi.Digest]bool // what mirrors list
	at      time.Time            // the moment for which the age of files counts
}

func (o offering) has(d pypi.Digest) bool { return o.all || o.besides[d] }

// errChanged: a page was read while what is here of it changed.
var errChanged = errors.New("the page changed at this moment")

// offer hands a page to use without what cannot be delivered. When it changes
// while it is looked at, it is looked at again: what is given is never older than
// its tag.
func (e *Engine) offer(name pypi.Name, can offering, bad []string, use func(*pypi.Project, pypi.Files) error) error {
	const tries = 3
	for try := 1; ; try++ {
		known, err := e.cat.Visit(name, func(page *pypi.Project, generation uint64, files pypi.Files) error {
			held, err := e.cat.Held(name)
			if err != nil {
				return err
			}
			now, _, err := e.cat.Generation(name)
			if err != nil {
				return err
			}
			if now != generation && try < tries {
				return errChanged
			}
			if page.Notes, err = e.withholding(name, files, can.at); err != nil {
				return err
			}
			files = deliverable(name, e.given(name, files, can.at), held, can, bad)
			// To those who follow this box its own count of changes is the serial.
			page.LastSerial = int64(generation)
			if !can.all || page.Versions == nil || page.Notes != nil {
				if page.Versions, err = versionsOf(name, files); err != nil {
					return err
				}
			}
			return use(page, files)
		})
		switch {
		case errors.Is(err, errChanged):
			continue
		case err == nil && !known:
			err = fmt.Errorf("read page of %s: it was removed at this moment", name)
		}
		return err
	}
}

// deliverable leaves out files that cannot be delivered, and of the others what
// cannot.
func deliverable(name pypi.Name, files pypi.Files, held map[pypi.Digest]Item, can offering, bad []string) pypi.Files {
	return func(yield func(*pypi.File, error) bool) {
		for f, err := range files {
			if err != nil {
				yield(nil, err)
				return
			}
			item, ok := fileItem(name, f)
			here, is := held[item.Digest]
			if !ok || !is && !can.has(item.Digest) {
				continue
			}
			if is {
				f.Size = here.Size // counted, not told
			}
			if m, ok := metadataItem(name, f); !ok || slices.Contains(bad, f.Filename) {
				f.CoreMetadata = pypi.CoreMetadata{}
			} else if _, here := held[m.Digest]; !here && !can.has(m.Digest) {
				f.CoreMetadata = pypi.CoreMetadata{}
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// versionsOf lists the versions that files bring, in their order.
func versionsOf(name pypi.Name, files pypi.Files) ([]string, error) {
	out := []string{}
	seen := make(map[string]bool)
	for f, err := range files {
		if err != nil {
			return nil, err
		}
		v, _, err := pypi.DistributionVersion(name, f.Filename)
		if err == nil && !seen[v.String()] {
			seen[v.String()] = true
			out = append(out, v.String())
		}
	}
	return out, nil
}

// freshen asks the upstream for a page that is not fresh, within a client's
// patience. It tells whether what is stored can be taken for the upstream's word.
func (e *Engine) freshen(s stay, name pypi.Name) (trusted bool, err error) {
	if !e.opts.Pull || hereOnly(s.ctx) {
		return false, nil
	}
	up := e.Line.Verdict().Up
	// To look whether a refresh is needed and to begin it is one step, or one
	// that ends in between would be made twice.
	e.mu.Lock()
	checked, fresh := e.checked[name]
	fresh = fresh && e.now().Sub(checked) < e.opts.Fresh
	absent, gone := e.absent[name]
	gone = gone && e.now().Sub(absent) < e.opts.Fresh
	var r *refresh
	if !fresh && !gone && up {
		r = e.refreshing(name, forClient, budget.Person)
	}
	e.mu.Unlock()
	switch {
	case fresh:
		return e.feelPulse(s), nil
	case gone:
		return false, errGone
	case r == nil:
		return false, errors.New("the line is down")
	}
	_, known, err := e.cat.Generation(name)
	if err != nil {
		return false, err
	}
	if over := e.await(s, r, known); !over {
		return false, errPending
	}
	if wire.CauseOf(r.err) == wire.Gone {
		return false, errGone
	}
	return r.err == nil, r.err
}

var (
	errGone    = errors.New("the upstream does not know it")
	errPending = errors.New("the upstream has not answered yet")
)

// feelPulse tells whether the upstream is there, for pages that need not be asked
// for: files that cannot be delivered must not be offered. A sign of life counts
// for a while; after that a client's request asks for another.
func (e *Engine) feelPulse(s stay) bool {
	e.mu.Lock()
	if !e.Line.Up() || e.now().Sub(e.contact.at()) < pulseAfter {
		e.mu.Unlock()
		return e.Line.Up()
	}
	p := e.pulse()
	if p == nil {
		e.mu.Unlock()
		return false
	}
	e.mu.Unlock()
	return e.await(s, p, true) && e.Line.Up()
}

// await waits for a refresh as long as a client may: for what is here, and for a
// sign of life, as long as Wait says; not at all while the upstream is known to be
// silent; for what is not here, longer once it has answered.
func (e *Engine) await(s stay, r *refresh, known bool) (over bool) {
	if s.until(e.patient(s), r.alive) {
		e.silent.Store(false)
		if known {
			return s.until(s.sign, r.done)
		}
		return s.until(s.end, r.done)
	}
	if !e.silent.Swap(true) {
		e.Line.Met(link.LateFrom(e.index.Address()))
		// Whoever answers first ends the silence.
		e.mu.Lock()
		e.start(func() {
			select {
			case <-r.alive:
				e.silent.Store(false)
			case <-e.ctx.Done():
			}
		})
		e.mu.Unlock()
	}
	return false
}

// remember notes that the upstream does not know a project. e.mu is held.
func (e *Engine) remember(name pypi.Name) {
	if len(e.absent) >= maxAbsent {
		clear(e.absent)
	}
	e.absent[name] = e.now()
}

// absentPage says why there is no page.
func (e *Engine) absentPage(s stay, name pypi.Name, lookErr error) error {
	switch {
	case !e.opts.Pull:
		return &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard, and it does not fetch on demand (pull.enabled is off): ask for it to be added to sync.projects", name)}
	case errors.Is(lookErr, errGone):
		return &Absent{Reason: fmt.Sprintf("the upstream index has no project %s: is the name right?", name)}
	case errors.Is(lookErr, errPending):
		return &Absent{Reason: fmt.Sprintf("%s is not here yet; the upstream is being asked", name), RetryAfter: comeBack}
	case !e.Line.Up():
		return e.absentLine(s, string(name), name)
	case lookErr == nil:
		return &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard", name)}
	case transient(lookErr):
		return &Absent{Reason: fmt.Sprintf("%s is not here yet: %v", name, lookErr), RetryAfter: comeBack}
	}
	return &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard: %v", name, lookErr)}
}

// absentLine says that the line keeps something away. After one failure, which
// may be chance, a probe settles the matter within seconds: that can be waited out.
func (e *Engine) absentLine(s stay, what string, name pypi.Name) *Absent {
	v := e.Line.Verdict()
	a := &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard, and the upstream cannot be reached now (%s)%s", what, v.Cause, e.promise(s, name))}
	if at, is := e.unheardOf(name); is {
		a.Reason += fmt.Sprintf("; on %s it had no project %s: is the name right?", at.Format(time.DateOnly), name)
	}
	if !v.State.Outage() {
		a.RetryAfter = comeBack
	}
	return a
}

// noting is how long a client waits for his wish to be durable, after he has waited
// for the line.
const noting = 300 * time.Millisecond

// promise remembers a client's wish, and says so. On a disk that takes longer than a
// client waits it is remembered too, but nobody is told.
func (e *Engine) promise(s stay, name pypi.Name) string {
	noted, stands := make(chan struct{}), false
	e.mu.Lock()
	started := e.start(func() {
		defer close(noted)
		stands = e.wishFor(name)
	})
	e.mu.Unlock()
	if started && s.until(s.sign.Add(noting), noted) && stands {
		return "; it will be fetched when the line is back"
	}
	return ""
}
