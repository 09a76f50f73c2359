package syncer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/wire"
)

// Not all files come over the line: people carry some here, on a stick. What they are
// is for the index to say. Where its page names the very bytes, they are taken as if
// they had been fetched. Where it has never been asked for the project, and cannot be
// now, a page is made of what was carried here; the index's own replaces it as soon as
// it can be had, with all that it does not name.

// carriedIndex stands in a note for the index whose page was made of what was carried.
const carriedIndex = "carried"

// carried tells whether the page was made here.
func (n *note) carried() bool {
	return n.Upstream != "" && bytes.Equal(sumOf(n.Upstream), sumOf(carriedIndex))
}

// Carried is a distribution that was brought here by hand.
type Carried struct {
	Name pypi.Name
	// File is its entry as a page would have it. Hashes has the SHA-256 of Content, Size
	// its length; URL is empty, and of CoreMetadata nothing is set.
	File     pypi.File
	Content  io.ReaderAt // where it ends before Size, that is its error
	Metadata []byte      // the core metadata of a wheel (PEP 658); nil: they are not known
}

// RefusedError says why a distribution that was carried here is not taken.
type RefusedError struct{ Reason string } // a sentence without its full stop

func (e *RefusedError) Error() string { return e.Reason }

// Carry takes in a distribution that was brought here by hand, and pins it. On nil it is
// durable, and is offered; fresh tells whether it was not here before. Errors:
// *RefusedError, ErrFull, those of Content, of ctx and of the store.
func (e *Engine) Carry(ctx context.Context, c Carried) (fresh bool, err error) {
	digest, ok := c.File.Hashes.SHA256()
	if !ok || c.File.Size < 0 {
		return false, fmt.Errorf("carry %s: it has no sha256, or no size", c.File.Filename)
	}
	if e.opts.Private(c.Name) {
		return false, &RefusedError{fmt.Sprintf("%s is one of this cheeseboard's own names; upload the file instead", c.Name)}
	}
	if !e.owns(c.Name) {
		return false, &RefusedError{fmt.Sprintf("%s belongs to another index", c.Name)}
	}
	if reason, blocked := e.opts.Rules.Project(c.Name); blocked {
		return false, &RefusedError{reason}
	}
	file, err := e.stated(ctx, c, digest)
	if err != nil {
		return false, err
	}
	if err := e.unruled(c, file); err != nil {
		return false, err
	}
	begun := false // an entry of ours that has no bytes yet
	if file == nil {
		if err := e.state(c, digest); err != nil {
			return false, err
		}
		begun = true
		file, err = e.onPage(c, digest)
	}
	if err == nil && file == nil {
		err = &RefusedError{"the page of " + string(c.Name) + " changed at this moment; try again"}
	}
	if err == nil {
		fresh, err = e.carryFile(ctx, c, file)
	}
	if err != nil && begun {
		err = errors.Join(err, e.unstate(c, digest))
	}
	if err != nil {
		return false, fmt.Errorf("carry %s: %w", c.File.Filename, err)
	}
	return fresh, nil
}

// unruled refuses what the rules would never let out, by its entry on the index's page,
// or by what is known of it where file is nil. The day on which it was carried here is not
// taken for that of its upload: without a line, the clock may be years behind. What is
// only too young comes of age here.
func (e *Engine) unruled(c Carried, file *pypi.File) error {
	entry, now := c.File, e.now()
	if file != nil {
		entry = *file
	}
	v := e.opts.Rules.File(c.Name, &entry, now)
	if v.Given() || !v.Until.IsZero() {
		return nil
	}
	entry.UploadTime = now.AddDate(-1000, 0, 0)
	if e.opts.Rules.File(c.Name, &entry, now).Given() {
		v.Reason += "; name it in policy.allow, or import it when the index can be asked"
	}
	return &RefusedError{v.Reason}
}

func (e *Engine) onPage(c Carried, digest pypi.Digest) (*pypi.File, error) {
	f, _, _, err := e.cat.File(c.Name, digest, c.File.Filename)
	return f, err
}

// stated gives the entry of the project's page that names the bytes; nil where there is
// no word of the index, so that one may be made. The index is asked where it can be.
func (e *Engine) stated(ctx context.Context, c Carried, digest pypi.Digest) (*pypi.File, error) {
	for asked := false; ; asked = true {
		if f, err := e.onPage(c, digest); f != nil || err != nil {
			return f, err
		}
		_, known, err := e.cat.Generation(c.Name)
		if err != nil {
			return nil, err
		}
		n, err := e.notes.get(c.Name)
		if err != nil {
			return nil, err
		}
		switch {
		case !asked && e.opts.Pull && e.Line.Up():
		case known && !n.carried():
			return nil, e.unlisted(c, digest)
		default:
			return nil, nil
		}
		_, err = e.refresh(c.Name, forClient, budget.Person).wait(ctx)
		switch {
		case wire.CauseOf(err) == wire.Canceled:
			return nil, err
		case wire.CauseOf(err) == wire.Gone:
			return nil, &RefusedError{fmt.Sprintf("the upstream index has no project %s; if it is your own, add the name to private.names and upload the file", c.Name)}
		}
		// Whatever else went wrong, it is as if the line were down.
	}
}

// unlisted says in which way an index's page does not name the bytes.
func (e *Engine) unlisted(c Carried, digest pypi.Digest) error {
	page, _, err := e.cat.Project(c.Name)
	if err != nil {
		return err
	}
	if stated := statedOf(page, c.File.Filename); !stated.IsZero() && stated != digest {
		return &RefusedError{fmt.Sprintf("it has the sha256 %s, and the index states %s: it is damaged, or another file of that name", digest, stated)}
	}
	return &RefusedError{"the page of " + string(c.Name) + " that is here does not list it"}
}

var errListed = &RefusedError{"the index's own page of its project has come at this moment; try again"}

// state adds an entry to a page that is made of what was carried here.
func (e *Engine) state(c Carried, digest pypi.Digest) error {
	entry := c.File
	entry.CoreMetadata = pypi.CoreMetadata{}
	if c.Metadata != nil {
		sum := pypi.Digest(sha256.Sum256(c.Metadata))
		entry.CoreMetadata = pypi.CoreMetadata{Available: true, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: sum.String()}}}
	}
	return e.editCarried(c.Name, func(page *pypi.Project) error {
		if other := statedOf(page, entry.Filename); !other.IsZero() {
			return &RefusedError{fmt.Sprintf("another file of that name was carried here before, with the sha256 %s, and this one has %s", other, digest)}
		}
		page.Files = append(page.Files, entry)
		return nil
	})
}

// unstate takes an entry away again whose bytes did not come.
func (e *Engine) unstate(c Carried, digest pypi.Digest) error {
	err := e.editCarried(c.Name, func(page *pypi.Project) error {
		page.Files = slices.DeleteFunc(page.Files, func(f pypi.File) bool {
			has, _ := f.Hashes.SHA256()
			return f.Filename == c.File.Filename && has == digest
		})
		return nil
	})
	if errors.Is(err, errListed) {
		return nil // it is gone already
	}
	if _, known, kerr := e.cat.Generation(c.Name); err == nil && kerr == nil && !known {
		err = e.notes.edit(c.Name, func(n *note) { n.Upstream = "" })
	}
	return err
}

// editCarried changes a page that is made of what was carried here. Nobody else changes
// page or note meanwhile; errListed where the page is an index's.
func (e *Engine) editCarried(name pypi.Name, change func(*pypi.Project) error) error {
	var was note
	return e.notes.editWith(name, func(n *note) {
		was = n.clone()
		n.Upstream = carriedIndex
	}, func(raw []byte, lists map[string]time.Time) error {
		page, known, err := e.cat.Project(name)
		switch {
		case err != nil:
			return err
		case known && !was.carried():
			return errListed
		case !known:
			page = &pypi.Project{Name: name}
		}
		if err := change(page); err != nil {
			return err
		}
		page.Versions = nil // they are those of the files
		if len(page.Files) == 0 {
			return e.cat.DeleteProject(name)
		}
		return e.cat.PutProject(page, raw, lists)
	})
}

// carryFile brings in the bytes that a page names, and the metadata beside them.
func (e *Engine) carryFile(ctx context.Context, c Carried, file *pypi.File) (fresh bool, err error) {
	item, _ := fileItem(c.Name, file) // it was found by its sha256
	item.Pinned, item.Size = true, c.File.Size
	fresh, err = e.carryBytes(ctx, item, c.Content)
	if err != nil || c.Metadata == nil {
		return fresh, err
	}
	m, offered := metadataItem(c.Name, file)
	if !offered || m.Digest != pypi.Digest(sha256.Sum256(c.Metadata)) {
		return fresh, nil // without them the file is what it is
	}
	m.Pinned, m.Size = true, int64(len(c.Metadata))
	_, err = e.carryBytes(ctx, m, strings.NewReader(string(c.Metadata)))
	return fresh, err
}

// carryBytes stores bytes under their digest. What a download has brought of them is
// gone on with; where that turns out to be wrong, all are taken from here.
func (e *Engine) carryBytes(ctx context.Context, item Item, content io.ReaderAt) (fresh bool, err error) {
	for again := false; ; again = true {
		in, err := e.shelf.Begin(item)
		switch {
		case errors.Is(err, ErrHeld):
			return false, e.shelf.Pin(item.Name, item.Digest, true)
		case errors.Is(err, ErrBusy):
			return false, &RefusedError{"it is being fetched at this moment"}
		case err != nil:
			return false, err
		}
		mixed := in.Offset() > 0
		if mixed && again {
			err = in.Reset()
		}
		if err == nil {
			rest := io.NewSectionReader(content, in.Offset(), item.Size-in.Offset())
			_, err = io.Copy(in, &heeding{ctx, rest})
		}
		if err == nil {
			err = in.Commit()
		}
		if err == nil {
			return true, nil
		}
		err = errors.Join(err, in.Close())
		switch {
		case errors.Is(err, ErrNotNamed):
			return false, errListed
		case !errors.Is(err, ErrCorrupt):
			return false, err
		case !mixed || again:
			return false, &RefusedError{"its bytes changed while it was read: is the stick sound?"}
		}
	}
}

// heeding is a reader that ends with its context.
type heeding struct {
	ctx context.Context
	io.Reader
}

func (h *heeding) Read(b []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.Reader.Read(b)
}
