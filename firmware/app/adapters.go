package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"cheeseboard/httpd/files"
	"cheeseboard/httpd/simple"
	"cheeseboard/httpd/webui"
	"cheeseboard/storage"
	"cheeseboard/storage/names"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
)

// The rooms do not know one another; these adapters hand each what it asks for.

// translate makes the store's errors those that the syncer tells apart.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var mismatch *storage.MismatchError
	for _, t := range []struct{ from, to error }{
		{storage.ErrHeld, syncer.ErrHeld},
		{storage.ErrBusy, syncer.ErrBusy},
		{storage.ErrFull, syncer.ErrFull},
		{storage.ErrNotNamed, syncer.ErrNotNamed},
		{storage.ErrNotFound, fs.ErrNotExist},
	} {
		if errors.Is(err, t.from) {
			return fmt.Errorf("%w%w", hidden{t.to}, err)
		}
	}
	if errors.As(err, &mismatch) {
		return fmt.Errorf("%w%w", hidden{syncer.ErrCorrupt}, err)
	}
	return err
}

// hidden is found by errors.Is and adds nothing to the message.
type hidden struct{ error }

func (hidden) Error() string   { return "" }
func (h hidden) Unwrap() error { return h.error }

func toItem(r storage.Ref) syncer.Item {
	return syncer.Item{Name: r.Name, Digest: r.Digest, Filename: r.Filename, Metadata: r.Metadata, Pinned: r.Pinned, Size: r.Size}
}

func toRef(i syncer.Item) storage.Ref {
	return storage.Ref{Name: i.Name, Digest: i.Digest, Filename: i.Filename, Metadata: i.Metadata, Pinned: i.Pinned}
}

type storeCatalogue struct{ *storage.Store }

func (s storeCatalogue) Generation(name pypi.Name) (uint64, bool, error) {
	info, ok, err := s.Info(name)
	return info.Generation, ok, err
}

func (s storeCatalogue) Serial(name pypi.Name) (int64, bool, error) {
	info, ok, err := s.Info(name)
	return info.Serial, ok, err
}

func (s storeCatalogue) PutProject(p *pypi.Project, note []byte, lists map[string]time.Time) error {
	update := storage.Update{Project: p, State: &storage.State{Value: note, Marks: toMarks(lists)}}
	return translate(errors.Join(s.PutProjects([]storage.Update{update})...))
}

func (s storeCatalogue) DeleteProject(name pypi.Name) error {
	return translate(s.Store.DeleteProject(name))
}

func (s storeCatalogue) Held(name pypi.Name) (map[pypi.Digest]syncer.Item, error) {
	refs, err := s.Store.Held(name)
	if err != nil {
		return nil, err
	}
	items := make(map[pypi.Digest]syncer.Item, len(refs))
	for d, r := range refs {
		items[d] = toItem(r)
	}
	return items, nil
}

type storeShelf struct{ *storage.Store }

func (s storeShelf) Begin(i syncer.Item) (syncer.Incoming, error) {
	in, err := s.Store.Begin(toRef(i), i.Size)
	if err != nil {
		return nil, translate(err)
	}
	return incoming{in}, nil
}

func (s storeShelf) Open(name pypi.Name, d pypi.Digest) (*os.File, syncer.Item, error) {
	f, ref, err := s.OpenFile(name, d)
	return f, toItem(ref), translate(err)
}

func (s storeShelf) Pin(name pypi.Name, d pypi.Digest, pinned bool) error {
	return translate(s.Store.Pin(name, d, pinned))
}

func (s storeShelf) Count() (int, error) {
	t, err := s.Totals()
	return t.Files, err
}

func (s storeShelf) Waiting(yield func(pypi.Digest, int64) bool) error {
	waiting, err := s.Store.Waiting()
	for _, w := range waiting {
		if !yield(w.Digest, w.Have) {
			break
		}
	}
	return err
}

type incoming struct{ *storage.Incoming }

func (in incoming) Write(b []byte) (int, error) {
	n, err := in.Incoming.Write(b)
	return n, translate(err)
}

func (in incoming) Commit() error { return translate(in.Incoming.Commit()) }

type storeNotes struct{ *storage.Store }

// Note takes a damaged note for none: what it said is learnt anew, and written over.
func (s storeNotes) Note(name pypi.Name) ([]byte, error) {
	raw, err := s.State(name)
	if errors.Is(err, storage.ErrDamaged) {
		return nil, nil
	}
	return raw, err
}

func (s storeNotes) SetNote(name pypi.Name, note []byte, lists map[string]time.Time) error {
	return translate(s.SetState(name, note, toMarks(lists)...))
}

func toMarks(lists map[string]time.Time) []storage.Mark {
	marks := make([]storage.Mark, 0, len(lists))
	for _, list := range slices.Sorted(maps.Keys(lists)) {
		marks = append(marks, storage.Mark{List: list, At: lists[list]})
	}
	return marks
}

func (s storeNotes) Listed(list string, yield func(pypi.Name, time.Time) bool) error {
	return s.Marked(list, yield)
}

// storeBulk keeps the pages of all projects.
type storeBulk struct{ *storage.Store }

func (s storeBulk) PutPages(pages []*pypi.Project) []error {
	updates := make([]storage.Update, len(pages))
	for i, page := range pages {
		updates[i] = storage.Update{Project: page}
	}
	errs := s.PutProjects(updates)
	for i := range errs {
		errs[i] = translate(errs[i])
	}
	return errs
}

// storeRoll keeps the upstream's list of projects.
type storeRoll struct{ *storage.Store }

func (s storeRoll) AddRoll(list byte, names []pypi.Name, state []byte) error {
	return translate(s.Store.AddRoll(list, names, state))
}

func (s storeRoll) DropRoll(list byte, state []byte) error {
	return translate(s.Store.DropRoll(list, state))
}

// lineKeeper keeps the count of the line's bytes in the store.
type lineKeeper struct{ *storage.Store }

const lineKey = "line"

func (k lineKeeper) Load() ([]byte, error) { return k.Value(lineKey) }

func (k lineKeeper) Save(v []byte) error { return k.SetValue(lineKey, v) }

// frontIndex answers the simple API from the engine.
type frontIndex struct {
	engine  *syncer.Engine
	store   *storage.Store
	journal *journal
	space   space
}

func (x frontIndex) Page(ctx context.Context, name pypi.Name) (simple.Page, error) {
	if reason := x.space.foreign(name); reason != "" {
		return simple.Page{}, &simple.Missing{Reason: reason}
	}
	v, err := x.engine.Page(ctx, name)
	var absent *syncer.Absent
	if errors.As(err, &absent) {
		return simple.Page{}, &simple.Missing{Reason: absent.Reason, RetryAfter: absent.RetryAfter}
	}
	return x.page(name, v), err
}

// Version changes with whatever may change a page.
func (x frontIndex) Version() uint64 { return x.engine.Changes() }

// Foresee gives the page that Page would give next without asking anybody.
func (x frontIndex) Foresee(name pypi.Name) (simple.Page, bool) {
	if x.space.foreign(name) != "" {
		return simple.Page{}, false
	}
	v, ok := x.engine.Foresee(name)
	return x.page(name, v), ok
}

// page is a view as the front takes it.
func (x frontIndex) page(name pypi.Name, v syncer.View) simple.Page {
	return x.space.attested(name, simple.Page{Tag: x.store.ID() + "-" + v.Tag, Visit: v.Visit, Still: x.space.stillOwns(name, v.Still)})
}

func (x frontIndex) Names(ctx context.Context) (simple.Names, error) {
	last, err := x.journal.Last(ctx)
	names := simple.Names{
		Still: func() bool {
			now, known := x.journal.lastKnown()
			return known && now == last
		},
		Tag:        x.store.ID() + "-" + strconv.FormatInt(last, 10),
		LastSerial: last,
		Each:       x.journal.All(ctx),
	}
	if mark := x.engine.BlockedMark(); mark != "" {
		names.Tag += "p" + mark
		names.Each = x.unblocked(names.Each)
	}
	return names, err
}

// unblocked leaves out projects that are blocked as a whole.
func (x frontIndex) unblocked(all iter.Seq2[pypi.ListEntry, error]) iter.Seq2[pypi.ListEntry, error] {
	return func(yield func(pypi.ListEntry, error) bool) {
		for e, err := range all {
			if _, blocked := x.engine.Blocked(e.Name); blocked {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// frontFiles gives out files from the engine. The store keeps a file that is being
// given out, and counts its uses.
type frontFiles struct {
	engine *syncer.Engine
	store  *storage.Store
	visits *visits
	space  space
}

func (x frontFiles) Open(ctx context.Context, ref files.Ref) (*files.Content, error) {
	end := x.visits.begin()
	content, err := x.open(ctx, ref)
	if err != nil {
		end()
		return nil, err
	}
	closeFile := content.Close
	content.Close = func() error { end(); return closeFile() }
	return content, nil
}

func (x frontFiles) open(ctx context.Context, ref files.Ref) (*files.Content, error) {
	if reason := x.space.foreign(ref.Name); reason != "" {
		return nil, &files.Missing{Reason: reason}
	}
	c, err := x.engine.File(ctx, ref.Name, ref.Digest, ref.Filename, ref.Metadata)
	var absent *syncer.Absent
	if errors.As(err, &absent) {
		return nil, &files.Missing{Reason: absent.Reason, RetryAfter: absent.RetryAfter}
	}
	if err != nil {
		return nil, err
	}
	release := x.store.Hold(c.Digest)
	end := func() {}
	if _, here := c.Reader.(*os.File); here {
		letGo(ctx) // it can be sent whatever becomes of the folder
	} else {
		end = x.visits.follow()
	}
	return &files.Content{
		Reader: c.Reader, Size: c.Size, Digest: c.Digest,
		Still: x.space.stillOwns(ref.Name, c.Still),
		Used: func() {
			x.visits.note()
			x.store.Used(c.Digest)
		},
		Close: func() error { end(); release(); return c.Close() },
	}, nil
}

// search finds projects for the page.
func (a *App) search(words string, limit int) (webui.Found, error) {
	r, err := a.names.Find(words, limit)
	r.Names = a.known(r.Names)
	for i := range r.Names {
		r.Names[i], _ = r.Names[i].Apart()
	}
	if errors.Is(err, names.ErrQuery) {
		err = fmt.Errorf("%w%w", hidden{webui.ErrQuery}, err)
	}
	return webui.Found{Names: r.Names, More: r.More}, err
}
