package syncer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

const (
	// patience is the longest that a client waits for something that is not
	// here while the upstream shows signs of life. pip gives up after 15 s.
	patience = 12 * time.Second
	// comeBack is what a client is told whose wish is still being fetched; pip
	// waits it out exactly, five times.
	comeBack = 3 * time.Second
	// pulseAfter is how long a sign of life from the upstream counts.
	pulseAfter = 15 * time.Second
	// maxAbsent bounds the names that are remembered as unknown to the upstream.
	maxAbsent = 10_000
)

// Absent says that a project or file cannot be given now.
type Absent struct {
	Reason     string        // a sentence for people
	RetryAfter time.Duration // > 0: it is being fetched, come back then
}

func (a *Absent) Error() string { return a.Reason }

// View is a project's page as it may be offered at this moment.
type View struct {
	Tag  string // changes whenever what Load gives changes
	Load func() (*pypi.Project, error)
}

// Page gives the page of a project for a client. While the line is good and
// pulling through is on, the upstream is asked first where the page is not fresh,
// for no longer than the options say, and all its files are offered; otherwise
// those that are here, at once. Errors: *Absent, and those of the store.
func (e *Engine) Page(ctx context.Context, name pypi.Name) (View, error) {
	trusted, lookErr := e.freshen(ctx, name)
	generation, known, err := e.cat.Generation(name)
	if err != nil {
		return View{}, err
	}
	if !known {
		return View{}, e.absentPage(name, lookErr)
	}
	n, err := e.notes.get(name)
	if err != nil {
		return View{}, err
	}
	all := e.opts.Pull && trusted && e.Line.Up()
	tag := fmt.Sprintf("%d", generation)
	if !all {
		tag += "h" // what is here
	}
	bad := n.badMetadata()
	if len(bad) > 0 {
		sum := fnv.New32a()
		for _, b := range bad {
			_, _ = io.WriteString(sum, b+"\n") // hash.Hash never fails
		}
		tag += fmt.Sprintf("m%x", sum.Sum32())
	}
	return View{Tag: tag, Load: func() (*pypi.Project, error) { return e.offer(name, generation, all, bad) }}, nil
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

// offer reads a page and leaves out what cannot be delivered. When the page
// changes while it is read, it is read again: what is given is never older than
// the tag.
func (e *Engine) offer(name pypi.Name, generation uint64, all bool, bad []string) (*pypi.Project, error) {
	var page *pypi.Project
	var held map[pypi.Digest]Item
	for range 3 {
		var known bool
		var err error
		if page, known, err = e.cat.Project(name); err != nil {
			return nil, err
		}
		if !known {
			return nil, fmt.Errorf("read page of %s: it was removed at this moment", name)
		}
		if held, err = e.cat.Held(name); err != nil {
			return nil, err
		}
		now, _, err := e.cat.Generation(name)
		if err != nil {
			return nil, err
		}
		if now == generation {
			break
		}
		generation = now
	}
	files := page.Files[:0]
	for _, f := range page.Files {
		item, ok := fileItem(name, &f)
		if _, here := held[item.Digest]; !ok || !here && !all {
			continue
		}
		if m, ok := metadataItem(name, &f); !ok || slices.Contains(bad, f.Filename) {
			f.CoreMetadata = pypi.CoreMetadata{}
		} else if _, here := held[m.Digest]; !here && !all {
			f.CoreMetadata = pypi.CoreMetadata{}
		}
		files = append(files, f)
	}
	page.Files = files
	if !all || page.Versions == nil {
		page.Versions = versionsOf(page)
	}
	return page, nil
}

// versionsOf lists the versions that the files of a page bring, in their order.
func versionsOf(p *pypi.Project) []string {
	out := []string{}
	seen := make(map[string]bool)
	for i := range p.Files {
		v, _, err := pypi.DistributionVersion(p.Name, p.Files[i].Filename)
		if err == nil && !seen[v.String()] {
			seen[v.String()] = true
			out = append(out, v.String())
		}
	}
	return out
}

// freshen asks the upstream for a page that is not fresh, within a client's
// patience. It tells whether what is stored can be taken for the upstream's word.
func (e *Engine) freshen(ctx context.Context, name pypi.Name) (trusted bool, err error) {
	if !e.opts.Pull {
		return false, nil
	}
	e.mu.Lock()
	checked, fresh := e.checked[name]
	fresh = fresh && e.now().Sub(checked) < e.opts.Fresh
	absent, gone := e.absent[name]
	gone = gone && e.now().Sub(absent) < e.opts.Fresh
	e.mu.Unlock()
	if fresh {
		return e.feelPulse(ctx), nil
	}
	if gone {
		return false, errGone
	}
	if v := e.Line.Verdict(); !v.Up {
		return false, errors.New("the line is down")
	}
	_, known, err := e.cat.Generation(name)
	if err != nil {
		return false, err
	}
	r := e.refresh(name, guardAnswer)
	if over := e.await(ctx, r, known); !over {
		return false, errPending
	}
	if wire.CauseOf(r.err) == wire.Gone {
		e.remember(name)
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
func (e *Engine) feelPulse(ctx context.Context) bool {
	e.mu.Lock()
	if !e.Line.Up() || e.now().Sub(e.contact) < pulseAfter {
		e.mu.Unlock()
		return e.Line.Up()
	}
	p := e.pulsing
	if p == nil {
		p = &refresh{alive: make(chan struct{}), done: make(chan struct{})}
		started := e.start(func() {
			err := e.index.Probe(e.ctx)
			e.met(err)
			p.err = err
			e.mu.Lock()
			e.pulsing = nil
			e.mu.Unlock()
			close(p.alive)
			close(p.done)
		})
		if !started {
			e.mu.Unlock()
			return false
		}
		e.pulsing = p
	}
	e.mu.Unlock()
	return e.await(ctx, p, true) && e.Line.Up()
}

// await waits for a refresh as long as a client may: for a sign of life not
// longer than Wait, and not at all while the upstream is known to be silent; for
// what is not here, longer once it has answered.
func (e *Engine) await(ctx context.Context, r *refresh, known bool) (over bool) {
	wait := e.opts.Wait
	if e.silent.Load() {
		wait = 0
	}
	if waitFor(ctx, r.alive, wait) {
		e.silent.Store(false)
		wait = e.opts.Wait
		if !known {
			wait = patience
		}
		return waitFor(ctx, r.done, wait)
	}
	if !e.silent.Swap(true) {
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

func waitFor(ctx context.Context, ch <-chan struct{}, d time.Duration) bool {
	select {
	case <-ch:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ch:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (e *Engine) remember(name pypi.Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.absent) >= maxAbsent {
		clear(e.absent)
	}
	e.absent[name] = e.now()
}

// absentPage says why there is no page.
func (e *Engine) absentPage(name pypi.Name, lookErr error) error {
	switch {
	case !e.opts.Pull:
		return &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard, and it does not fetch on demand (pull.enabled is off): ask for it to be added to sync.projects", name)}
	case errors.Is(lookErr, errGone):
		return &Absent{Reason: fmt.Sprintf("the upstream index has no project %s: is the name right?", name)}
	case errors.Is(lookErr, errPending):
		return &Absent{Reason: fmt.Sprintf("%s is not here yet; the upstream is being asked", name), RetryAfter: comeBack}
	case !e.Line.Up():
		return &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard, and the upstream cannot be reached now (%s)", name, e.Line.Verdict().Cause)}
	case transient(lookErr):
		return &Absent{Reason: fmt.Sprintf("%s is not here yet: %v", name, lookErr), RetryAfter: comeBack}
	}
	return &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard: %v", name, lookErr)}
}

// transient tells whether asking again soon may help.
func transient(err error) bool {
	switch wire.CauseOf(err) {
	case wire.Busy, wire.Broken, wire.Cut, wire.Stalled:
		return true
	}
	return false
}

// Content is a file for a client.
type Content struct {
	Reader io.ReadSeeker // an *os.File for what is here; else it waits for bytes
	Close  func() error
	Size   int64
	Digest pypi.Digest // of the bytes
}

// File gives a distribution, or its core metadata, as a project's page names it.
// What is not here is fetched while it is given out, once however many ask.
// Errors: *Absent, and those of the store.
func (e *Engine) File(ctx context.Context, name pypi.Name, digest pypi.Digest, filename string, metadata bool) (*Content, error) {
	f, err := e.find(name, digest, filename)
	if err != nil {
		return nil, err
	}
	item, ok := fileItem(name, f)
	address := f.URL
	if metadata {
		item, ok = metadataItem(name, f)
		address += ".metadata"
	}
	if !ok {
		return nil, &Absent{Reason: fmt.Sprintf("the index offers no metadata of %s apart from it", filename)}
	}
	content, err := e.stored(item)
	if !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	switch v := e.Line.Verdict(); {
	case !e.opts.Pull:
		return nil, &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard, and it does not fetch on demand (pull.enabled is off)", item.label())}
	case !v.Up:
		return nil, &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard, and the upstream cannot be reached now (%s)", item.label(), v.Cause)}
	}
	return e.arriving(ctx, item, address)
}

// find looks a file up on its project's page.
func (e *Engine) find(name pypi.Name, digest pypi.Digest, filename string) (*pypi.File, error) {
	page, known, err := e.cat.Project(name)
	if err != nil {
		return nil, err
	}
	if known && page.Status.State == pypi.StatusQuarantined {
		return nil, &Absent{Reason: fmt.Sprintf("%s is in quarantine upstream and is not given out: %s", name, page.Status.Reason)}
	}
	if known {
		for i := range page.Files {
			d, ok := page.Files[i].Hashes.SHA256()
			if ok && d == digest && page.Files[i].Filename == filename {
				return &page.Files[i], nil
			}
		}
	}
	return nil, &Absent{Reason: fmt.Sprintf("the page of %s names no %s with the sha256 %s", name, filename, digest)}
}

// stored opens what is here; fs.ErrNotExist where it is not.
func (e *Engine) stored(item Item) (*Content, error) {
	f, here, err := e.shelf.Open(item.Name, item.Digest)
	if err != nil {
		return nil, err
	}
	return &Content{Reader: f, Close: f.Close, Size: here.Size, Digest: item.Digest}, nil
}

// arriving begins or joins a download for a client. What is small, or of unknown
// length, is waited for; of the rest the client gets what there is.
func (e *Engine) arriving(ctx context.Context, item Item, address string) (*Content, error) {
	d := e.download(item, address)
	wait := e.opts.Wait
	if e.silent.Load() {
		wait = 0
	}
	gate := d.started
	if item.Size <= holdBack {
		gate = d.done
	}
	// Without a sign of life a client does not wait; with one, it does.
	if !waitFor(ctx, d.alive, wait) || !waitFor(ctx, gate, patience) {
		return nil, &Absent{Reason: item.label() + " is on its way here", RetryAfter: comeBack}
	}
	select {
	case <-d.done:
		if d.err != nil {
			return nil, e.absentFile(item, d.err)
		}
		if d.item.Name != item.Name {
			if err := e.have(ctx, item, address); err != nil {
				return nil, e.absentFile(item, err)
			}
		}
		return e.stored(item)
	default:
	}
	r := e.read(ctx, d)
	return &Content{Reader: r, Close: r.Close, Size: item.Size, Digest: item.Digest}, nil
}

func (e *Engine) absentFile(item Item, err error) error {
	a := &Absent{Reason: fmt.Sprintf("%s could not be fetched: %v", item.label(), err)}
	if transient(err) {
		a.RetryAfter = comeBack
	}
	return a
}
