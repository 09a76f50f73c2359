package meta

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

// A project's files lie in its head and in chunks. A chunk's key holds its
// generation: a change writes new chunks beside the old ones, then the head
// that names them, so that a reader or a cut between two transactions sees the
// old page or the new one. A file stays in its chunk for as long as it is
// listed, so that a new release rewrites the last chunk and nothing else.

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
}

// Info is what can be said of a project without reading its page.
type Info struct {
	Serial     int64  // of the page; 0 where the upstream states none
	Generation uint64 // grows with each change of the page or of what is here of it
}

// Project reads a page; false where it is not known.
func (d *DB) Project(name pypi.Name) (*pypi.Project, bool, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
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
	p := h.project
	for _, c := range h.chunks {
		if err := d.readChunk(txn, name, &c); err != nil {
			return nil, err
		}
		p.Files = append(p.Files, c.files...)
	}
	return &p, nil
}

// Info reads what is known of a project's page; false where there is none.
func (d *DB) Info(name pypi.Name) (Info, bool, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
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

// Names calls yield with each project in order of the name, until it returns false.
func (d *DB) Names(yield func(pypi.ListEntry) bool) error {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	return scan(txn, []byte("n/"), nil, true, func(key, value []byte) (bool, error) {
		serial, err := serialOf(value)
		if err != nil {
			return false, fmt.Errorf("read name %s: %w", key[2:], err)
		}
		return yield(pypi.ListEntry{Name: pypi.Name(key[2:]), Serial: serial}), nil
	})
}

// PutProject replaces a project's page. It drops the references of the project
// to blobs that the page does not name, and returns the digests that nothing
// names any more: they are doomed (see Doomed). A page that equals the stored
// one writes nothing. On nil the page is durable.
func (d *DB) PutProject(p *pypi.Project) (doomed []pypi.Digest, err error) {
	err = d.update(func(b *batch) error {
		old, oldRaw, err := d.head(b.txn, p.Name)
		if err != nil {
			return err
		}
		slots, err := d.slots(b.txn, old, p.Name)
		if err != nil {
			return err
		}
		next := head{project: *p}
		if old != nil {
			next.generation = old.generation
		}
		inline, chunks := arrange(slots, p.Files)
		next.project.Files = inline
		stale, err := d.writeChunks(b, p.Name, old, &next, chunks)
		if err != nil {
			return err
		}
		raw, err := d.packHead(&next)
		if err != nil {
			return err
		}
		if string(raw) != string(oldRaw) {
			if err := b.set(headKey(p.Name), raw); err != nil {
				return err
			}
			if err := b.touch(p.Name, p.LastSerial); err != nil {
				return err
			}
		}
		for _, c := range stale {
			if err := b.delete(chunkKey(p.Name, c)); err != nil {
				return err
			}
		}
		doomed, err = b.dropRefs(p.Name, p.Files)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store project %s: %w", p.Name, err)
	}
	return doomed, nil
}

// writeChunks writes the chunks that changed under a new generation, fills in
// next.chunks, and returns the keys that the new head no longer names.
func (d *DB) writeChunks(b *batch, name pypi.Name, old, next *head, chunks []chunk) (stale []chunk, err error) {
	was := make(map[uint32]chunk)
	if old != nil {
		for _, c := range old.chunks {
			was[c.index] = c
		}
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
	err = d.update(func(b *batch) error {
		h, _, err := d.head(b.txn, name)
		if err != nil {
			return err
		}
		if err := b.delete(nameKey(name)); err != nil {
			return err
		}
		if err := b.delete(headKey(name)); err != nil {
			return err
		}
		if h != nil {
			for _, c := range h.chunks {
				if err := b.delete(chunkKey(name, c)); err != nil {
					return err
				}
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

// slots reads where the files of a stored page lie: the inline ones first.
func (d *DB) slots(txn *badger.Txn, h *head, name pypi.Name) ([]chunk, error) {
	if h == nil {
		return nil, nil
	}
	out := []chunk{{files: h.project.Files}}
	for _, c := range h.chunks {
		if err := d.readChunk(txn, name, &c); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// arrange lays the files of a page out: each where it was, new ones in the last
// place that has room, in the order of the page.
func arrange(old []chunk, files []pypi.File) (inline []pypi.File, chunks []chunk) {
	byName := make(map[string]int, len(files))
	for i := range files {
		byName[files[i].Filename] = i
	}
	placed := make([]bool, len(files))
	slots := make([]chunk, 0, len(old)+1)
	for _, s := range old {
		kept := chunk{index: s.index, generation: s.generation}
		for _, f := range s.files {
			if i, ok := byName[f.Filename]; ok && !placed[i] {
				placed[i] = true
				kept.files = append(kept.files, files[i])
			}
		}
		slots = append(slots, kept)
	}
	if len(slots) == 0 {
		slots = append(slots, chunk{})
	}
	last := len(slots) - 1
	size := 0
	for i := range slots[last].files {
		size += weight(&slots[last].files[i])
	}
	for i := range files {
		if placed[i] {
			continue
		}
		w := weight(&files[i])
		if n := len(slots[last].files); n == filesPerChunk || n > 0 && size+w > bytesPerChunk {
			slots = append(slots, chunk{index: slots[last].index + 1})
			last, size = last+1, 0
		}
		slots[last].files = append(slots[last].files, files[i])
		size += w
	}
	inline = slots[0].files
	for _, s := range slots[1:] {
		if len(s.files) > 0 {
			chunks = append(chunks, s)
		}
	}
	return inline, chunks
}

func weight(f *pypi.File) int {
	n := 96 + len(f.Filename) + len(f.URL) + len(f.RequiresPython) + len(f.Yanked.Reason) + len(f.Provenance)
	for _, h := range slices.Concat(f.Hashes, f.CoreMetadata.Hashes) {
		n += len(h.Algorithm) + len(h.Hex)
	}
	return n
}

func (d *DB) packHead(h *head) ([]byte, error) {
	var w writer
	p := &h.project
	w.uint(uint64(h.generation))
	w.int(p.LastSerial)
	w.texts(p.Versions)
	w.text(p.Status.State)
	w.text(p.Status.Reason)
	w.texts(p.Tracks)
	w.texts(p.Alternates)
	w.uint(uint64(len(h.chunks)))
	for _, c := range h.chunks {
		w.uint(uint64(c.index))
		w.uint(uint64(c.generation))
	}
	w.uint(uint64(len(p.Files)))
	for i := range p.Files {
		w.file(&p.Files[i])
	}
	return d.pack(&w)
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
	p.Versions = r.texts()
	p.Status.State = r.text()
	p.Status.Reason = r.text()
	p.Tracks = r.texts()
	p.Alternates = r.texts()
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		h.chunks = append(h.chunks, chunk{index: uint32(r.uint()), generation: uint32(r.uint())})
	}
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		p.Files = append(p.Files, r.file())
	}
	return h, raw, r.err
}

func (d *DB) packChunk(files []pypi.File) ([]byte, error) {
	var w writer
	w.uint(uint64(len(files)))
	for i := range files {
		w.file(&files[i])
	}
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
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		c.files = append(c.files, r.file())
	}
	return r.err
}
