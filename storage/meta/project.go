package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

// A project's files lie in chunks, and the newest of them in its head. A chunk's
// key holds its generation: a change writes new chunks beside the old ones, then
// the head that names them, so that a reader or a cut between two transactions
// sees the old page or the new one. A file stays in its chunk for as long as it
// is listed, so that a new release rewrites the head and nothing else.

const (
	filesPerChunk = 64
	bytesPerChunk = 128 << 10 // of names, addresses and reasons
)

type chunk struct {
	index, generation uint32
	files             []pypi.File
}

type head struct {
	project    pypi.Project // Files: the inline ones
	generation uint32
	chunks     []chunk // without files
	implied    bool    // project.Versions are those that the names of all files tell
}

// Info is what can be said of a project without reading its page.
type Info struct {
	Serial     int64  // of the page; 0 where the upstream states none
	Generation uint64 // grows with each change of the page or of what is here of it
}

// Project reads a page; false where it is not known.
func (d *DB) Project(name pypi.Name) (*pypi.Project, bool, error) {
	txn, done := d.view()
	defer done()
	p, err := d.project(txn, name)
	if err != nil {
		return nil, false, fmt.Errorf("read project %s: %w", name, err)
	}
	return p, p != nil, nil
}

func (d *DB) project(txn *badger.Txn, name pypi.Name) (*pypi.Project, error) {
	h, _, err := d.head(txn, name)
	if h == nil || err != nil {
		return nil, err
	}
	slots, err := d.slots(txn, h, name)
	if err != nil {
		return nil, err
	}
	p := h.project
	p.Files = slots[0].files
	if len(slots) > 1 {
		p.Files = slices.Concat(files(slots)...)
	}
	if h.implied {
		p.Versions = impliedVersions(slots)
	}
	return &p, nil
}

func files(slots []chunk) (list [][]pypi.File) {
	for _, s := range slots {
		list = append(list, s.files)
	}
	return list
}

// Info reads what is known of a project's page; false where there is none.
func (d *DB) Info(name pypi.Name) (Info, bool, error) {
	txn, done := d.view()
	defer done()
	raw, version, err := get(txn, nameKey(name))
	if raw == nil || err != nil {
		return Info{}, false, err
	}
	serial, err := serialOf(raw)
	return Info{Serial: serial, Generation: version}, true, err
}

func serialOf(value []byte) (int64, error) {
	raw, err := unseal(value)
	if err != nil {
		return 0, err
	}
	serial, n := binary.Varint(raw)
	if n <= 0 {
		return 0, fmt.Errorf("%w: %w", ErrDamaged, errShort)
	}
	return serial, nil
}

// Pages calls yield with the name of each stored page, in order, until it returns
// false. It should be the same as Names, which looks elsewhere.
func (d *DB) Pages(yield func(pypi.Name) bool) error {
	txn, done := d.view()
	defer done()
	return scan(txn, []byte("p/"), false, func(key, _ []byte) (bool, error) {
		return yield(pypi.Name(key[2:])), nil
	})
}

// Names calls yield with each project in order of the name, until it returns
// false. Where the serial's record is damaged it is 0, and Info gives the error:
// one record does not keep the others from being listed.
func (d *DB) Names(yield func(pypi.ListEntry) bool) error { return d.NamesWith("", yield) }

// NamesWith is Names for those that begin with a prefix.
func (d *DB) NamesWith(prefix string, yield func(pypi.ListEntry) bool) error {
	txn, done := d.view()
	defer done()
	return scan(txn, []byte("n/"+prefix), true, func(key, value []byte) (bool, error) {
		serial, _ := serialOf(value) // see above
		return yield(pypi.ListEntry{Name: pypi.Name(key[2:]), Serial: serial}), nil
	})
}

// stored reads what the next version of a page builds on: its head, where its
// files lie, and the head's record. Of a page that is damaged nothing is built
// on: lost are then its chunks, and the head has a generation beyond theirs.
func (d *DB) stored(txn *badger.Txn, name pypi.Name) (h *head, slots []chunk, raw []byte, lost []chunk, err error) {
	h, raw, err = d.head(txn, name)
	if err == nil && h == nil {
		h = &head{}
	} else if err == nil {
		slots, err = d.places(txn, h, name)
	}
	if !errors.Is(err, ErrDamaged) {
		return h, slots, raw, nil, err
	}
	if lost, err = d.chunks(txn, name); err != nil {
		return nil, nil, nil, nil, err
	}
	h = &head{}
	for _, c := range lost {
		h.generation = max(h.generation, c.generation)
	}
	return h, nil, nil, lost, nil
}

// chunks lists the chunks that are stored for a project, named by its head or not.
func (d *DB) chunks(txn *badger.Txn, name pypi.Name) (list []chunk, err error) {
	prefix := chunkPrefix(name)
	err = scan(txn, prefix, false, func(key, _ []byte) (bool, error) {
		if k := key[len(prefix):]; len(k) == 8 {
			list = append(list, chunk{index: binary.BigEndian.Uint32(k), generation: binary.BigEndian.Uint32(k[4:])})
		}
		return true, nil
	})
	return list, err
}

// writeChunks writes the chunks that changed under a new generation, fills in
// next.chunks, and returns the keys that the new head no longer names.
func (d *DB) writeChunks(b *batch, name pypi.Name, old, next *head, chunks []chunk) (stale []chunk, err error) {
	was := make(map[uint32]chunk)
	for _, c := range old.chunks {
		was[c.index] = c
	}
	generation := next.generation + 1
	for _, c := range chunks {
		raw, err := d.packChunk(c.files)
		if err != nil {
			return nil, err
		}
		before, known := was[c.index]
		if known {
			same, _, err := get(b.txn, chunkKey(name, before))
			if err != nil {
				return nil, err
			}
			if string(same) == string(raw) {
				next.chunks = append(next.chunks, chunk{index: c.index, generation: before.generation})
				delete(was, c.index)
				continue
			}
		}
		fresh := chunk{index: c.index, generation: generation}
		if err := b.set(chunkKey(name, fresh), raw); err != nil {
			return nil, err
		}
		next.chunks = append(next.chunks, fresh)
		next.generation = generation
	}
	for _, c := range was {
		stale = append(stale, c)
	}
	slices.SortFunc(stale, func(a, b chunk) int { return int(a.index) - int(b.index) })
	return stale, nil
}

// DeleteProject forgets a project and drops its references; it returns the
// digests that are doomed by that.
func (d *DB) DeleteProject(name pypi.Name) (doomed []pypi.Digest, err error) {
	err = d.change(name, shrinking, func(b *batch) error {
		listed, _, err := get(b.txn, nameKey(name))
		if err != nil {
			return err
		}
		if listed != nil {
			if err := b.mourn(name, true); err != nil {
				return err
			}
		}
		if err := b.delete(nameKey(name)); err != nil {
			return err
		}
		if err := b.delete(headKey(name)); err != nil {
			return err
		}
		chunks, err := d.chunks(b.txn, name)
		if err != nil {
			return err
		}
		for _, c := range chunks {
			if err := b.delete(chunkKey(name, c)); err != nil {
				return err
			}
		}
		doomed, err = b.dropRefs(name, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("delete project %s: %w", name, err)
	}
	return doomed, nil
}

// touch gives a project a new generation.
func (b *batch) touch(name pypi.Name, serial int64) error {
	return b.set(nameKey(name), seal(binary.AppendVarint(nil, serial)))
}

func (d *DB) packHead(h *head) ([]byte, error) {
	var w writer
	w.head(h)
	return d.pack(&w)
}

func (w *writer) head(h *head) {
	p := &h.project
	w.uint(uint64(h.generation))
	w.int(p.LastSerial)
	w.versions(h)
	w.text(p.Status.State)
	w.text(p.Status.Reason)
	w.texts(p.Tracks)
	w.texts(p.Alternates)
	w.uint(uint64(len(h.chunks)))
	for _, c := range h.chunks {
		w.uint(uint64(c.index))
		w.uint(uint64(c.generation))
	}
	w.files(p.Files)
	w.unknown(p.Files, p)
}

func (w *writer) files(files []pypi.File) {
	w.uint(uint64(len(files)))
	for i := range files {
		w.file(&files[i])
	}
}

// head reads the head of a page; nil where the project is not known.
func (d *DB) head(txn *badger.Txn, name pypi.Name) (*head, []byte, error) {
	raw, _, err := get(txn, headKey(name))
	if raw == nil || err != nil {
		return nil, nil, err
	}
	r, err := d.unpack(raw)
	if err != nil {
		return nil, nil, err
	}
	h := &head{generation: uint32(r.uint())}
	p := &h.project
	p.Name = name
	p.LastSerial = r.int()
	p.Versions, h.implied = r.versions()
	p.Status.State = r.text()
	p.Status.Reason = r.text()
	p.Tracks = r.texts()
	p.Alternates = r.texts()
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		h.chunks = append(h.chunks, chunk{index: uint32(r.uint()), generation: uint32(r.uint())})
	}
	p.Files = r.files()
	r.unknown(p.Files, p)
	return h, raw, r.err
}

func (d *DB) packChunk(files []pypi.File) ([]byte, error) {
	var w writer
	w.files(files)
	w.unknown(files, nil)
	return d.pack(&w)
}

func (d *DB) readChunk(txn *badger.Txn, name pypi.Name, c *chunk) error {
	raw, _, err := get(txn, chunkKey(name, *c))
	if err != nil {
		return err
	}
	if raw == nil {
		return fmt.Errorf("%w: chunk %d of %s is missing", ErrDamaged, c.index, name)
	}
	r, err := d.unpack(raw)
	if err != nil {
		return fmt.Errorf("chunk %d of %s: %w", c.index, name, err)
	}
	c.files = r.files()
	r.unknown(c.files, nil)
	return r.err
}
