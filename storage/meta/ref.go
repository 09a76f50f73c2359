package meta

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"cheeseboard/storage/pypi"
)

// Ref is one blob that is here for a project.
type Ref struct {
	Name     pypi.Name   `json:"name"`
	Digest   pypi.Digest `json:"-"`
	Filename string      `json:"filename"` // of the distribution, also where the blob is its metadata
	Metadata bool        `json:"metadata"` // the blob is the core metadata of the distribution
	Pinned   bool        `json:"pinned"`   // a selection holds it: it is never evicted
	Size     int64       `json:"-"`        // bytes
}

const (
	refMetadata = 1 << iota
	refPinned
)

func packRef(r Ref) []byte {
	var flags uint64
	if r.Metadata {
		flags |= refMetadata
	}
	if r.Pinned {
		flags |= refPinned
	}
	v := binary.AppendUvarint(nil, flags)
	v = binary.AppendUvarint(v, uint64(r.Size))
	return seal(append(v, r.Filename...))
}

func unpackRef(key, value []byte) (Ref, error) {
	var r Ref
	n := len(key) - len(r.Digest) - 1
	if n < 2 {
		return r, fmt.Errorf("%w: a reference's key is cut short", ErrDamaged)
	}
	r.Name = pypi.Name(key[2:n])
	copy(r.Digest[:], key[n+1:])
	raw, err := unseal(value)
	if err != nil {
		return r, fmt.Errorf("reference of %s to %s: %w", r.Name, r.Digest, err)
	}
	flags, a := binary.Uvarint(raw)
	if a <= 0 {
		return r, fmt.Errorf("%w: %w", ErrDamaged, errShort)
	}
	size, b := binary.Uvarint(raw[a:])
	if b <= 0 {
		return r, fmt.Errorf("%w: %w", ErrDamaged, errShort)
	}
	r.Metadata, r.Pinned = flags&refMetadata != 0, flags&refPinned != 0
	r.Size, r.Filename = int64(size&(1<<63-1)), string(raw[a+b:])
	return r, nil
}

// AddRef records that a blob is here for a project, or changes what is recorded
// of it. It reports false, and records nothing, when the project's page does not
// name the digest: the page changed while the blob was on its way. present is
// asked, while nobody can bury the blob, whether its bytes are there and
// durable; its error is returned. On nil the reference is durable.
func (d *DB) AddRef(r Ref, present func() error) (named bool, err error) {
	err = d.update(growing, func(b *batch) error {
		p, err := d.project(b.txn, r.Name)
		if p == nil || err != nil {
			return err
		}
		if named = Names(p, r.Digest); !named {
			return nil
		}
		if err := present(); err != nil {
			return err
		}
		if err := b.add(r); err != nil {
			return err
		}
		return b.touch(r.Name, p.LastSerial)
	})
	if err != nil {
		return false, fmt.Errorf("record %s of %s: %w", r.Filename, r.Name, err)
	}
	return named, nil
}

// Names tells whether a page names a digest, as a file's or as its metadata's.
func Names(p *pypi.Project, digest pypi.Digest) bool {
	for i := range p.Files {
		if d, ok := p.Files[i].Hashes.SHA256(); ok && d == digest {
			return true
		}
		if d, ok := p.Files[i].CoreMetadata.Hashes.SHA256(); ok && d == digest {
			return true
		}
	}
	return false
}

// DropRef forgets that a blob is here for a project. It reports whether the blob
// is doomed by that. still is asked, while nobody can change a reference,
// whether to do it after all; nil means yes.
func (d *DB) DropRef(name pypi.Name, digest pypi.Digest, still func() (bool, error)) (doomed bool, err error) {
	err = d.update(shrinking, func(b *batch) error {
		if still != nil {
			if ok, err := still(); err != nil || !ok {
				return err
			}
		}
		if doomed, err = b.dropRef(name, digest); err != nil {
			return err
		}
		raw, _, err := get(b.txn, nameKey(name))
		if raw == nil || err != nil {
			return err
		}
		return b.set(nameKey(name), raw) // a new generation
	})
	if err != nil {
		return false, fmt.Errorf("drop %s of %s: %w", digest, name, err)
	}
	return doomed, nil
}

// dropRefs drops every reference of a project to a blob that files do not name.
func (b *batch) dropRefs(name pypi.Name, files []pypi.File) (doomed []pypi.Digest, err error) {
	named := make(map[pypi.Digest]bool, 2*len(files))
	for i := range files {
		if d, ok := files[i].Hashes.SHA256(); ok {
			named[d] = true
		}
		if d, ok := files[i].CoreMetadata.Hashes.SHA256(); ok {
			named[d] = true
		}
	}
	var drop []pypi.Digest
	err = scan(b.txn, refPrefix(name), false, func(key, _ []byte) (bool, error) {
		var d pypi.Digest
		copy(d[:], key[len(key)-len(d):])
		if !named[d] {
			drop = append(drop, d)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, d := range drop {
		gone, err := b.dropRef(name, d)
		if err != nil {
			return nil, err
		}
		if gone {
			doomed = append(doomed, d)
		}
	}
	return doomed, nil
}

func (b *batch) dropRef(name pypi.Name, digest pypi.Digest) (doomed bool, err error) {
	own := blobKey(digest, name)
	if err := b.delete(own); err != nil {
		return false, err
	}
	others, err := b.referredBeside(digest, own)
	if err == nil && !others {
		err = b.set(doomedKey(digest), nil)
	}
	if err != nil {
		return false, err
	}
	// Last: where the batch is split before it, mend comes here again.
	return !others, b.delete(refKey(name, digest))
}

// referredBeside tells whether there is a reference to a blob beside one of them.
// It looks at the readers' view, at what the batch has added, and whether that is
// still there: scanning the batch would sort it for each digest.
func (b *batch) referredBeside(digest pypi.Digest, own []byte) (others bool, err error) {
	look := func(key []byte) error {
		if !others && !bytes.Equal(key, own) {
			others, err = b.db.has(b.txn, key)
		}
		return err
	}
	for _, a := range b.added {
		if a.digest == digest {
			if err := look(a.key); err != nil {
				return false, err
			}
		}
	}
	txn, done := b.db.view()
	defer done()
	err = scan(txn, blobPrefix(digest), false, func(key, _ []byte) (bool, error) {
		err := look(key)
		return !others, err
	})
	return others, err
}

// Ref reads one reference; false where the blob is not here for the project.
func (d *DB) Ref(name pypi.Name, digest pypi.Digest) (Ref, bool, error) {
	txn, done := d.view()
	defer done()
	key := refKey(name, digest)
	raw, _, err := get(txn, key)
	if raw == nil || err != nil {
		return Ref{}, false, err
	}
	r, err := unpackRef(key, raw)
	return r, err == nil, err
}

// Refs calls yield with the references of a project, or of all projects where
// name is "", in order of name and digest, until it returns false. Of one whose
// record is damaged name and digest are given, and the error.
func (d *DB) Refs(name pypi.Name, yield func(Ref, error) bool) error {
	prefix := []byte("r/")
	if name != "" {
		prefix = refPrefix(name)
	}
	txn, done := d.view()
	defer done()
	return scan(txn, prefix, true, func(key, value []byte) (bool, error) {
		r, err := unpackRef(key, value)
		return yield(r, err), nil
	})
}

// Referenced tells whether any project has a reference to a blob.
func (d *DB) Referenced(digest pypi.Digest) (bool, error) {
	txn, done := d.view()
	defer done()
	found := false
	err := scan(txn, blobPrefix(digest), false, func([]byte, []byte) (bool, error) {
		found = true
		return false, nil
	})
	return found, err
}

// Holders lists the projects that have a reference to a blob.
func (d *DB) Holders(digest pypi.Digest) ([]pypi.Name, error) {
	txn, done := d.view()
	defer done()
	var names []pypi.Name
	prefix := blobPrefix(digest)
	err := scan(txn, prefix, false, func(key, _ []byte) (bool, error) {
		names = append(names, pypi.Name(key[len(prefix):]))
		return true, nil
	})
	return names, err
}

// Doomed lists the blobs whose last reference is gone and whose bytes may still
// be there: a cut can come between the two.
func (d *DB) Doomed() ([]pypi.Digest, error) {
	txn, done := d.view()
	defer done()
	var list []pypi.Digest
	err := scan(txn, []byte("d/"), false, func(key, _ []byte) (bool, error) {
		var digest pypi.Digest
		if copy(digest[:], key[2:]) == len(digest) {
			list = append(list, digest)
		}
		return true, nil
	})
	return list, err
}

// IsDoomed tells whether a blob is among Doomed.
func (d *DB) IsDoomed(digest pypi.Digest) (bool, error) {
	txn, done := d.view()
	defer done()
	return d.has(txn, doomedKey(digest))
}

// Buried takes digests off the list of Doomed for which gone says that their
// bytes are no longer there. The caller has made durable that they are gone.
func (d *DB) Buried(digests []pypi.Digest, gone func(pypi.Digest) bool) error {
	if len(digests) == 0 {
		return nil
	}
	return d.update(shrinking, func(b *batch) error {
		for _, digest := range digests {
			if !gone(digest) {
				continue
			}
			if err := b.delete(doomedKey(digest)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Quietly runs look while nobody can record or drop a reference, or bury a blob.
// look may read, and must not write.
func (d *DB) Quietly(look func() error) error {
	d.writers.lock()
	defer d.writers.unlock()
	return look()
}

// Bury runs remove for a blob while nobody can record or drop a reference to
// it, unless there is one.
func (d *DB) Bury(digest pypi.Digest, remove func() error) error {
	d.writers.lock()
	defer d.writers.unlock()
	referenced, err := d.Referenced(digest)
	if referenced || err != nil {
		return err
	}
	return remove()
}
