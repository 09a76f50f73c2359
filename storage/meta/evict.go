package meta

import (
	"bytes"
	"fmt"

	"cheeseboard/storage/pypi"
)

// evictBatch is how many files go in one transaction: few enough that it is never
// split, so that a cut leaves each of them here whole or doomed.
const evictBatch = 64

// Fate is what became of a file that was to go.
type Fate int

// The fates.
const (
	Gone    Fate = iota // nothing refers to it any more
	Pinned              // a selection holds it
	Needed              // it is the core metadata of a distribution that stays
	Unknown             // nothing referred to it
)

// Evict drops all references to files that are only cached, given by the first
// bytes of their digests, and with each distribution the core metadata of its
// release, unless another distribution of that release is here. It gives the fate
// of each, and the digests that are doomed by it. Durable when it returns; on an
// error what went before is durable, and the doomed are given.
func (d *DB) Evict(prefixes [][]byte) (fates []Fate, doomed []pypi.Digest, err error) {
	for len(prefixes) > 0 {
		n := min(len(prefixes), evictBatch)
		e := eviction{}
		err = d.update(shrinking, func(b *batch) error {
			e.batch = b
			for _, prefix := range prefixes[:n] {
				fate, err := e.evict(prefix)
				if err != nil {
					return err
				}
				e.fates = append(e.fates, fate)
			}
			return nil
		})
		if err != nil {
			return fates, doomed, fmt.Errorf("remove cached files: %w", err)
		}
		fates, doomed, prefixes = append(fates, e.fates...), append(doomed, e.doomed...), prefixes[n:]
	}
	return fates, doomed, nil
}

// eviction is one transaction of Evict. It reads what it has written itself.
type eviction struct {
	*batch
	fates  []Fate
	doomed []pypi.Digest
}

func (e *eviction) evict(prefix []byte) (Fate, error) {
	refs, err := e.referring(prefix)
	if err != nil || len(refs) == 0 {
		return Unknown, err
	}
	for _, r := range refs {
		if r.Pinned {
			return Pinned, nil
		}
		if !r.Metadata {
			continue
		}
		if stays, err := e.releaseHere(r); err != nil || stays {
			return Needed, err
		}
	}
	for _, r := range refs {
		if err := e.drop(r); err != nil {
			return Gone, err
		}
		if r.Metadata {
			continue
		}
		if err := e.dropMetadata(r); err != nil {
			return Gone, err
		}
	}
	return Gone, nil
}

// referring lists the references to the blobs whose digests begin with prefix. One
// that cannot be read counts as pinned: it is verify's matter.
func (e *eviction) referring(prefix []byte) (refs []Ref, err error) {
	err = scan(e.txn, append([]byte("b/"), prefix...), false, func(key, _ []byte) (bool, error) {
		var digest pypi.Digest
		if len(key) < 2+len(digest)+1 {
			return true, nil
		}
		name := pypi.Name(key[2+copy(digest[:], key[2:])+1:])
		raw, _, err := get(e.txn, refKey(name, digest))
		if err != nil {
			return false, err
		}
		r, err := unpackRef(refKey(name, digest), raw)
		if err != nil {
			r = Ref{Name: name, Digest: digest, Pinned: true}
		}
		refs = append(refs, r)
		return true, nil
	})
	return refs, err
}

// release lists what is here of the release that a file belongs to.
func (e *eviction) release(of Ref) (refs []Ref, err error) {
	release := releaseOf(of)
	err = scan(e.txn, refPrefix(of.Name), true, func(key, value []byte) (bool, error) {
		r, err := unpackRef(key, value)
		if err == nil && releaseOf(r) == release {
			refs = append(refs, r)
		}
		return true, nil
	})
	return refs, err
}

// releaseOf tells releases of a project apart; a file that tells no version is one
// of its own.
func releaseOf(r Ref) string {
	name, _ := r.Name.Apart()
	v, _, err := pypi.DistributionVersion(name, r.Filename)
	if err != nil {
		return r.Filename
	}
	return v.String()
}

// releaseHere tells whether a distribution of the release is here.
func (e *eviction) releaseHere(of Ref) (bool, error) {
	refs, err := e.release(of)
	for _, r := range refs {
		if !r.Metadata {
			return true, err
		}
	}
	return false, err
}

// dropMetadata drops the core metadata of the release of a distribution that has
// gone, if it was the last.
func (e *eviction) dropMetadata(gone Ref) error {
	refs, err := e.release(gone)
	if err != nil {
		return err
	}
	for _, r := range refs {
		if !r.Metadata {
			return nil
		}
	}
	for _, r := range refs {
		if r.Pinned {
			continue
		}
		if err := e.drop(r); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets that a blob is here for a project. The mark of the doomed comes
// first: were it left behind alone, it would do no harm.
func (e *eviction) drop(r Ref) error {
	own := blobKey(r.Digest, r.Name)
	others := false
	err := scan(e.txn, blobPrefix(r.Digest), false, func(key, _ []byte) (bool, error) {
		others = !bytes.Equal(key, own)
		return !others, nil
	})
	if err != nil {
		return err
	}
	if !others {
		if err := e.set(doomedKey(r.Digest), nil); err != nil {
			return err
		}
		e.doomed = append(e.doomed, r.Digest)
	}
	if err := e.delete(refKey(r.Name, r.Digest)); err != nil {
		return err
	}
	if err := e.delete(own); err != nil {
		return err
	}
	raw, _, err := get(e.txn, nameKey(r.Name))
	if raw == nil || err != nil {
		return err
	}
	return e.set(nameKey(r.Name), raw) // a new generation
}
