package meta

import (
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
	err = d.update(func(b *batch) error {
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
		if err := b.set(refKey(r.Name, r.Digest), packRef(r)); err != nil {
			return err
		}
		if err := b.set(blobKey(r.Digest, r.Name), nil); err != nil {
			return err
		}
		if err := b.delete(doomedKey(r.Digest)); err != nil {
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
// is doomed by that.
func (d *DB) DropRef(name pypi.Name, digest pypi.Digest) (doomed bool, err error) {
	err = d.update(func(b *batch) error {
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
	err = scan(b.txn, refPrefix(name), nil, false, func(key, _ []byte) (bool, error) {
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
	if err := b.delete(refKey(name, digest)); err != nil {
		return false, err
	}
	if err := b.delete(blobKey(digest, name)); err != nil {
		return false, err
	}
	others := false
	err = scan(b.txn, blobPrefix(digest), nil, false, func([]byte, []byte) (bool, error) {
		others = true
		return false, nil
	})
	if others || err != nil {
		return false, err
	}
	return true, b.set(doomedKey(digest), nil)
}

// Ref reads one reference; false where the blob is not here for the project.
func (d *DB) Ref(name pypi.Name, digest pypi.Digest) (Ref, bool, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	key := refKey(name, digest)
	raw, _, err := get(txn, key)
	if raw == nil || err != nil {
		return Ref{}, false, err
	}
	r, err := unpackRef(key, raw)
	return r, err == nil, err
}

// Refs calls yield with the references of a project, or of all projects where
// name is "", in order of name and digest, until it returns false.
func (d *DB) Refs(name pypi.Name, yield func(Ref) bool) error {
	prefix := []byte("r/")
	if name != "" {
		prefix = refPrefix(name)
	}
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	return scan(txn, prefix, nil, true, func(key, value []byte) (bool, error) {
		r, err := unpackRef(key, value)
		if err != nil {
			return false, err
		}
		return yield(r), nil
	})
}

// Referenced tells whether any project has a reference to a blob.
func (d *DB) Referenced(digest pypi.Digest) (bool, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	found := false
	err := scan(txn, blobPrefix(digest), nil, false, func([]byte, []byte) (bool, error) {
		found = true
		return false, nil
	})
	return found, err
}

// Holders lists the projects that have a reference to a blob.
func (d *DB) Holders(digest pypi.Digest) ([]pypi.Name, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	var names []pypi.Name
	prefix := blobPrefix(digest)
	err := scan(txn, prefix, nil, false, func(key, _ []byte) (bool, error) {
		names = append(names, pypi.Name(key[len(prefix):]))
		return true, nil
	})
	return names, err
}

// Doomed lists the blobs whose last reference is gone and whose bytes may still
// be there: a cut can come between the two.
func (d *DB) Doomed() ([]pypi.Digest, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	var list []pypi.Digest
	err := scan(txn, []byte("d/"), nil, false, func(key, _ []byte) (bool, error) {
		var digest pypi.Digest
		if copy(digest[:], key[2:]) == len(digest) {
			list = append(list, digest)
		}
		return true, nil
	})
	return list, err
}

// Buried says that the bytes of doomed blobs are gone.
func (d *DB) Buried(digests []pypi.Digest) error {
	if len(digests) == 0 {
		return nil
	}
	return d.update(func(b *batch) error {
		for _, digest := range digests {
			if err := b.delete(doomedKey(digest)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Bury runs remove for a blob while nobody can record a reference to it, unless
// there is one already.
func (d *DB) Bury(digest pypi.Digest, remove func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	referenced, err := d.Referenced(digest)
	if referenced || err != nil {
		return err
	}
	return remove()
}
