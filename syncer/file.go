package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
)

// Content is a file for a client.
type Content struct {
	Reader io.ReadSeeker // an *os.File for what is here; else it waits for bytes
	Close  func() error
	Size   int64
	Digest pypi.Digest // of the bytes
	// Still tells whether File would give the same at this moment, as View's does. nil:
	// that cannot be told.
	Still func() bool
}

// File gives a distribution, or its core metadata, as a project's page names it.
// What is not here is fetched while it is given out, once however many ask.
// Errors: *Absent, and those of the store.
func (e *Engine) File(ctx context.Context, name pypi.Name, digest pypi.Digest, filename string, metadata bool) (*Content, error) {
	return e.file(e.stay(ctx), name, digest, filename, metadata)
}

func (e *Engine) file(s stay, name pypi.Name, digest pypi.Digest, filename string, metadata bool) (*Content, error) {
	version := e.cat.Version() // before all that is read
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
	if err == nil {
		content.Still = func() bool { return version > 0 && e.cat.Version() == version }
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	switch {
	case e.opts.Private(name):
		return nil, &Absent{Reason: fmt.Sprintf("%s is private, and this cheeseboard has lost it: it has to be uploaded again", item.label())}
	case hereOnly(s.ctx):
		return nil, &Absent{Reason: item.label() + " is not on this cheeseboard"}
	case !e.opts.Pull:
		return nil, &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard, and it does not fetch on demand (pull.enabled is off)", item.label())}
	case e.Line.Up() && f.URL == "":
		return e.addressed(s, name, digest, filename, metadata)
	case e.Line.Up():
		return e.arriving(s, item, address, false)
	case len(e.mirrors.Candidates(name, digest)) > 0:
		return e.arriving(s, item, address, true)
	}
	return nil, e.absentLine(s, item.label(), name)
}

// addressed gives a file whose page came in bulk, without addresses: the page is
// asked for once more.
func (e *Engine) addressed(s stay, name pypi.Name, digest pypi.Digest, filename string, metadata bool) (*Content, error) {
	r := e.refresh(name, forClient, budget.Person)
	if !s.until(e.patient(s), r.alive) || !s.until(s.end, r.done) {
		return nil, &Absent{Reason: fmt.Sprintf("the address of %s is being asked for", filename), RetryAfter: comeBack}
	}
	f, err := e.find(name, digest, filename)
	if err != nil {
		return nil, err
	}
	if f.URL == "" && r.err == nil {
		return nil, &Absent{Reason: fmt.Sprintf("%s was carried here and is here no more, and the upstream index does not know it: import it again", filename)}
	}
	if f.URL == "" {
		return nil, e.absentPage(s, name, r.err)
	}
	return e.file(s.heard(e.opts.Wait), name, digest, filename, metadata)
}

// find looks a file up on its project's page.
func (e *Engine) find(name pypi.Name, digest pypi.Digest, filename string) (*pypi.File, error) {
	f, status, known, err := e.cat.File(name, digest, filename)
	if err != nil {
		return nil, err
	}
	if known && status.State == pypi.StatusQuarantined {
		return nil, &Absent{Reason: fmt.Sprintf("%s is in quarantine upstream and is not given out: %s", name, status.Reason)}
	}
	if reason, blocked := e.opts.Rules.Project(name); blocked {
		return nil, &Absent{Reason: reason}
	}
	if f != nil {
		if v := e.opts.Rules.File(name, f, e.moment(name)); !v.Given() {
			return nil, &Absent{Reason: v.Reason}
		}
		return f, nil
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
// length, is waited for; of the rest the client gets what there is. besides: the
// line is down, and only mirrors are asked.
func (e *Engine) arriving(s stay, item Item, address string, besides bool) (*Content, error) {
	d := e.download(item, address, budget.Person, besides)
	sign := s.sign
	if !besides {
		sign = e.patient(s)
	}
	gate := d.started
	if item.Size <= holdBack {
		gate = d.done
	}
	// Without a sign of life a client does not wait; with one, it does.
	underWay := &Absent{Reason: item.label() + " is on its way here", RetryAfter: comeBack}
	if !s.until(sign, d.alive) || !s.until(s.end, gate) {
		return nil, underWay
	}
	select {
	case <-d.done:
		if d.err != nil && !e.Line.Up() {
			return nil, e.absentLine(s, item.label(), item.Name)
		}
		if d.err != nil {
			return nil, e.absentFile(item, d.err)
		}
		if d.item.Name != item.Name {
			ctx, cancel := context.WithDeadline(s.ctx, s.end)
			defer cancel()
			err := e.have(ctx, item, address, budget.Person)
			if err != nil && ctx.Err() != nil {
				return nil, underWay
			}
			if err != nil {
				return nil, e.absentFile(item, err)
			}
		}
		return e.stored(item)
	default:
	}
	r := e.read(s.ctx, d)
	return &Content{Reader: r, Close: r.Close, Size: item.Size, Digest: item.Digest}, nil
}

func (e *Engine) absentFile(item Item, err error) error {
	a := &Absent{Reason: fmt.Sprintf("%s could not be fetched: %v", item.label(), err)}
	if transient(err) {
		a.RetryAfter = comeBack
	}
	return a
}
