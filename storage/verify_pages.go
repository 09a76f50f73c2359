package storage

import (
	"errors"
	"fmt"

	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// The walks of verify hold a snapshot of the metadata, which may be changed
// meanwhile, also by the repairs. So what looks wrong in the snapshot is looked
// at again, quietly, before it is called a fault.

var (
	errNextSync    = errors.New("the next sync brings it")
	errPrivatePage = errors.New("it is private, and no upstream has it: restore a backup, or upload its files again")
)

// pages reads every page that is listed, so that each record's checksum is seen.
func (v *verifier) pages() error {
	v.progress.Phase, v.progress.Done, v.progress.Total = "pages", 0, 0
	if err := v.meta.Names(func(pypi.ListEntry) bool { v.progress.Total++; return true }); err != nil {
		return err
	}
	v.tell()
	err := v.meta.Names(func(e pypi.ListEntry) bool {
		v.page(e.Name)
		return v.step(1)
	})
	return errors.Join(err, v.stop)
}

func (v *verifier) page(name pypi.Name) {
	var p *pypi.Project
	var known, listed bool
	var err, unlisted error
	look := func() error {
		p, known, err = v.meta.Project(name)
		_, listed, unlisted = v.meta.Info(name)
		return nil
	}
	sound := func() bool { return err == nil && unlisted == nil && known == listed }
	if _ = look(); sound() { // look gives no error
		return
	}
	if _ = v.meta.Quietly(look); sound() {
		return
	}
	f := Finding{Fault: FaultPage, What: string(name), Project: string(name)}
	if known && err == nil {
		f.Detail = "its entry in the list is missing or damaged"
		v.found(f, func() error { return v.putProject(p) })
		return
	}
	f.Detail = "it is listed, but its page is missing"
	if err != nil {
		f.Detail = err.Error()
	}
	v.keep = true
	// The state would let the upstream answer that nothing has changed.
	v.found(f, func() error {
		if v.Private(name) {
			return errPrivatePage
		}
		return errors.Join(v.meta.SetState(name, nil), errNextSync)
	})
}

// listed looks for pages that are stored and not listed.
func (v *verifier) listed() error {
	err := v.meta.Pages(func(name pypi.Name) bool {
		if _, ok, err := v.meta.Info(name); err == nil && !ok {
			v.page(name)
		}
		return v.step(0)
	})
	return errors.Join(err, v.stop)
}

// references checks each reference against its page and its bytes' length.
func (v *verifier) references() error {
	v.progress.Phase, v.progress.Done, v.progress.Total = "references", 0, 0
	v.tell()
	var page *pypi.Project
	var failed error
	err := v.meta.Refs("", func(r Ref, err error) bool {
		if page == nil || page.Name != r.Name {
			if page, failed = v.pageOf(r.Name); failed != nil {
				return false
			}
		}
		size, serr := v.blobs.Size(r.Digest)
		if err == nil && serr == nil && size == r.Size && meta.Names(page, r.Digest) {
			return v.step(1)
		}
		failed = v.reference(r.Name, r.Digest)
		return failed == nil && v.step(1)
	})
	return errors.Join(err, failed, v.stop)
}

// pageOf reads a page; one that is not there names nothing.
func (v *verifier) pageOf(name pypi.Name) (*pypi.Project, error) {
	p, ok, err := v.meta.Project(name)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	if err != nil || !ok {
		p = &pypi.Project{Name: name}
	}
	return p, nil
}

// reference looks again at a reference that seems wrong.
func (v *verifier) reference(name pypi.Name, digest pypi.Digest) error {
	var f Finding
	err := v.meta.Quietly(func() (err error) { f, err = v.judge(name, digest); return err })
	if err != nil {
		return err
	}
	still := func() (bool, error) {
		again, err := v.judge(name, digest)
		return again.Fault == f.Fault, err
	}
	switch f.Fault {
	case "":
	case FaultMissing:
		v.found(f, func() error { return v.lose(name, digest) })
	case FaultSize:
		v.found(f, func() error { return v.recheck(digest) })
	case FaultUnnamed:
		v.found(f, func() error { return v.drop(name, digest, still) })
	case FaultReference:
		v.found(f, func() error {
			// What the record said is made again from page and bytes.
			if _, err := v.meta.DropRef(name, digest, still); err != nil {
				return err
			}
			return v.claim(map[pypi.Digest]bool{digest: true}, func(_ pypi.Digest, err error) error { return err })
		})
	}
	return nil
}

// judge says what is wrong with a reference at this moment; no Fault where
// nothing is, or where it is its page that is lost.
func (v *verifier) judge(name pypi.Name, digest pypi.Digest) (f Finding, err error) {
	r, here, err := v.meta.Ref(name, digest)
	if err == nil && !here {
		return f, nil // dropped since the walk began
	}
	f = Finding{What: called(r), Project: string(name), Detail: digest.String()}
	if err != nil {
		if f.What = digest.String(); errors.Is(err, ErrDamaged) {
			f.Fault, f.Detail, err = FaultReference, err.Error(), nil
		}
		return f, err
	}
	size, err := v.blobs.Size(digest)
	switch {
	case errors.Is(err, ErrNotFound):
		f.Fault = FaultMissing
		return f, nil
	case err != nil:
		return f, err
	case size != r.Size:
		f.Fault = FaultSize
		f.Detail += fmt.Sprintf(": %d bytes, recorded are %d", size, r.Size)
		return f, nil
	}
	p, known, err := v.meta.Project(name)
	if errors.Is(err, ErrDamaged) {
		return f, nil // reported with the pages
	}
	if err != nil {
		return f, err
	}
	if !known {
		if _, listed, err := v.meta.Info(name); listed || err != nil {
			return f, nil // likewise
		}
		p = &pypi.Project{}
	}
	if !meta.Names(p, digest) {
		f.Fault = FaultUnnamed
	}
	return f, nil
}

// drop forgets one reference and removes the bytes if it was the last.
func (v *verifier) drop(name pypi.Name, digest pypi.Digest, still func() (bool, error)) error {
	if _, err := v.meta.DropRef(name, digest, still); err != nil {
		return err
	}
	return v.buryDoomed(digest)
}

// recheck hashes bytes that have not the recorded length. If they are right, it
// is the record that is wrong.
func (v *verifier) recheck(digest pypi.Digest) error {
	seen, err := v.hash(digest)
	if errors.Is(err, ErrNotFound) {
		return nil // removed meanwhile, with its references
	}
	if err != nil {
		return err
	}
	if seen.digest != digest {
		return v.setAside(digest, seen.info)
	}
	names, err := v.meta.Holders(digest)
	for _, name := range names {
		r, here, rerr := v.meta.Ref(name, digest)
		if r.Size = seen.size; rerr == nil && here {
			rerr = v.record(r)
		}
		err = errors.Join(err, rerr)
	}
	return err
}
