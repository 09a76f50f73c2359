package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/wire"
)

// holdBack is how much of a file that is still arriving is kept from readers
// until its digest is known: nobody can receive a file whole that is wrong, and
// small files are not sent at all before they are verified.
const holdBack = 64 << 10

// errVoid ends readers of bytes that turned out to be wrong.
var errVoid = errors.New("the bytes that were sent so far were wrong")

// download brings one file in, for all who want it.
type download struct {
	item Item
	url  string
	most int64       // bytes that are taken where the index states no length
	wish atomic.Bool // somebody waits for it

	besides bool // the line is down: only mirrors are asked

	alive   chan struct{} // closed when the upstream has answered at all, or at the end
	started chan struct{} // closed when there are bytes to give out, or at the end
	done    chan struct{} // closed at the end

	mu      sync.Mutex
	changed chan struct{} // closed at every change of what follows
	living  bool
	begun   bool
	offset  int64
	epoch   int // grows when the bytes so far are thrown away
	follow  func() (*os.File, error)
	ended   bool
	err     error
}

// Class says for whom the bytes are: it changes when somebody comes to wait.
func (d *download) Class() budget.Class {
	if d.wish.Load() {
		return budget.Person
	}
	return budget.Background
}

// download finds the download of an item, or begins one. One that is begun with
// besides asks mirrors only, for as long as the line is down.
func (e *Engine) download(item Item, address string, class budget.Class, besides bool) *download {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.downloads[item.Digest]; d != nil {
		if class == budget.Person {
			d.wish.Store(true)
		}
		return d
	}
	d := &download{
		item: item, url: address, most: e.most(item), besides: besides,
		alive: make(chan struct{}), started: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
	}
	d.wish.Store(class == budget.Person)
	if e.opts.Private(item.Name) {
		d.end(fmt.Errorf("fetch %s: %w", item.label(), errPrivate))
		return d
	}
	started := e.start(func() {
		err := e.bring(d)
		e.noteFile(item, err)
		e.mu.Lock()
		delete(e.downloads, item.Digest)
		e.mu.Unlock()
		d.end(err)
		if err == nil {
			e.attest(e.ctx, item, class)
		}
	})
	if !started {
		d.end(&wire.Problem{Cause: wire.Canceled, Err: errClosed})
		return d
	}
	e.downloads[item.Digest] = d
	return d
}

// have brings a file in, or waits for whoever does.
func (e *Engine) have(ctx context.Context, item Item, address string, class budget.Class) error {
	for {
		d := e.download(item, address, class, false)
		select {
		case <-d.done:
		case <-ctx.Done():
			return &wire.Problem{Cause: wire.Canceled, Err: ctx.Err()}
		}
		// The same bytes may have been brought for another project: then they
		// are here, and the next round records them for this one.
		if errors.Is(d.err, errNotBesides) {
			continue // others asked less of it
		}
		if d.err != nil || d.item.Name == item.Name {
			return d.err
		}
	}
}

// bring carries a download out. Wrong bytes are fetched again from zero, as often
// as there is somebody else to ask, or once more.
func (e *Engine) bring(d *download) error {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-e.ctx.Done():
		return &wire.Problem{Cause: wire.Canceled, Err: e.ctx.Err()}
	}
	h := e.hunt(d)
	for {
		if err := e.admit(d.Class()); err != nil {
			return err
		}
		in, err := e.shelf.Begin(d.item)
		if errors.Is(err, ErrHeld) {
			return nil
		}
		if err != nil {
			return err
		}
		d.attach(in)
		if err := h.bytes(in); err != nil {
			return errors.Join(err, in.Close())
		}
		err = in.Commit()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrCorrupt) && h.wrong(err):
			d.void()
		case errors.Is(err, ErrCorrupt):
			return &wire.Problem{Cause: wire.Lie, URL: d.url, Who: strings.Join(h.gaveWrong, ", then "), Err: err}
		case errors.Is(err, ErrNotNamed):
			return err
		default:
			return errors.Join(err, in.Close())
		}
	}
}

// held tells whether the budget holds the line to a rate: then its speed is ours.
func (e *Engine) held() bool { return e.opts.Budget != nil && e.opts.Budget.Status().Rate > 0 }

// noteFile notes how a download ended, where people and the next pass see it.
func (e *Engine) noteFile(item Item, err error) {
	if ours(err) || errors.Is(err, errNotBesides) {
		return
	}
	moot := err == nil || errors.Is(err, ErrNotNamed)
	if !moot {
		// The page may have come to state other bytes meanwhile.
		page, known, readErr := e.cat.Project(item.Name)
		moot = readErr == nil && known && statedOf(page, item.label()) != item.Digest
	}
	noteErr := e.notes.edit(item.Name, func(n *note) {
		if moot {
			delete(n.Files, item.label())
			return
		}
		n.fail(item.label(), err, e.now(), e.opts.FirstRetry, e.opts.Interval)
	})
	if noteErr != nil {
		e.log.Error("a failure could not be noted", "project", item.Name, "filename", item.label(), "failure", err, "reason", noteErr)
	}
	if err != nil {
		e.log.Warn("file could not be fetched", "project", item.Name, "filename", item.label(), "reason", err)
	}
}

// label is how an item is called in notes and messages.
func (i Item) label() string {
	if i.Metadata {
		return i.Filename + ".metadata"
	}
	return i.Filename
}

func (d *download) attach(in Incoming) {
	d.update(func() {
		d.follow, d.offset = in.Follow, in.Offset()
		if d.offset > 0 {
			d.begin() // what is here already is no sign of life
		}
	})
}

// live says that the upstream has answered; d.mu is held.
func (d *download) live() {
	if !d.living {
		d.living = true
		close(d.alive)
	}
}

// begin opens the gate for readers; d.mu is held.
func (d *download) begin() {
	if !d.begun {
		d.begun = true
		close(d.started)
	}
}

func (d *download) void() { d.update(func() { d.epoch++; d.offset = 0 }) }

func (d *download) end(err error) {
	d.update(func() {
		d.ended, d.err = true, err
		d.live()
		d.begin()
	})
	close(d.done)
}

func (d *download) update(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// most bounds what an upstream may send for an item of unknown length.
func (e *Engine) most(item Item) int64 {
	switch {
	case item.Metadata:
		return maxMetadata
	case e.opts.Policy.MaxFileSize > 0:
		return e.opts.Policy.MaxFileSize
	}
	return pypi.MaxFileSize
}

// reader reads a file while it arrives. It is an io.ReadSeeker over a known
// length; Read waits for bytes, and fails where the download does.
type reader struct {
	ctx    context.Context
	engine *Engine
	d      *download
	size   int64
	pos    int64
	epoch  int
	file   *os.File
}

func (e *Engine) read(ctx context.Context, d *download) *reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &reader{ctx: ctx, engine: e, d: d, size: d.item.Size, epoch: d.epoch}
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.pos = offset
	return offset, nil
}

func (r *reader) Read(b []byte) (int, error) {
	for {
		limit, wait, err := r.limit()
		if err != nil {
			return 0, err
		}
		if r.pos < limit {
			n, err := r.file.ReadAt(b[:min(int64(len(b)), limit-r.pos)], r.pos)
			r.pos += int64(n)
			if n > 0 && err == io.EOF {
				err = nil
			}
			return n, err
		}
		if wait == nil {
			return 0, io.EOF
		}
		select {
		case <-wait:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

// limit tells how far may be read now, and what to wait for where that is not
// far enough; nil when the file is whole.
func (r *reader) limit() (limit int64, wait <-chan struct{}, err error) {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.epoch != d.epoch {
		if r.pos > 0 {
			return 0, nil, errVoid
		}
		r.close()
		r.epoch = d.epoch
	}
	switch {
	case d.ended && d.err != nil:
		return 0, nil, fmt.Errorf("fetch %s: %w", d.item.label(), d.err)
	case d.ended:
		limit = r.size
	default:
		limit, wait = min(d.offset, r.size-holdBack), d.changed
	}
	if r.pos < limit && r.file == nil {
		if d.ended {
			r.file, _, err = r.engine.shelf.Open(d.item.Name, d.item.Digest)
		} else {
			r.file, err = d.follow()
			if errors.Is(err, fs.ErrNotExist) {
				return r.pos, d.changed, nil // it has just got its name, and the end is being told
			}
		}
	}
	return limit, wait, err
}

func (r *reader) close() {
	if r.file != nil {
		closeQuietly(r.file)
		r.file = nil
	}
}

// Close gives the file free; the download goes on.
func (r *reader) Close() error {
	r.close()
	return nil
}

var _ io.ReadSeekCloser = (*reader)(nil)

// metadataItem is the core metadata of a listed file as an item; false where the
// page states no sha256 of it, so that it could not be verified.
func metadataItem(name pypi.Name, f *pypi.File) (Item, bool) {
	digest, ok := f.CoreMetadata.Hashes.SHA256()
	return Item{Name: name, Digest: digest, Filename: f.Filename, Metadata: true, Size: pypi.SizeUnknown}, ok && f.CoreMetadata.Available
}

// fileItem is a listed file as an item; false where the page states no sha256.
func fileItem(name pypi.Name, f *pypi.File) (Item, bool) {
	digest, ok := f.Hashes.SHA256()
	return Item{Name: name, Digest: digest, Filename: f.Filename, Size: f.Size}, ok
}
