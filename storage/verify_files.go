package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"cheeseboard/storage/pypi"
)

// orphansAtOnce bounds the orphans that are held in memory until the pages are
// searched for all of them together.
const orphansAtOnce = 10_000

// files hashes every blob from the given digest on.
func (v *verifier) files(from string) error {
	var first pypi.Digest
	if from != "" {
		var err error
		if first, err = pypi.ParseDigest(from); err != nil {
			return fmt.Errorf("go on with verify: %w", err)
		}
	}
	v.progress.Phase, v.progress.Done, v.progress.Total = "files", v.progress.Bytes, v.progress.Bytes
	count := func(_ pypi.Digest, size int64) bool { v.progress.Total += size; return true }
	if err := v.blobs.Each(first, count, func(string) {}); err != nil {
		return err
	}
	v.tell()
	next, err := v.walk(first)
	if err == nil || v.ctx.Err() == nil {
		return err
	}
	return errors.Join(err, v.save(next))
}

// walk looks at every blob from the given digest on. When ctx ends it tells where
// to go on, and gives the error of ctx.
func (v *verifier) walk(first pypi.Digest) (next string, err error) {
	var failed error
	err = v.blobs.Each(first, func(digest pypi.Digest, size int64) bool {
		if failed = v.blob(digest); failed != nil {
			if v.ctx.Err() != nil { // it was broken off in the middle
				next = digest.String()
			}
			return false
		}
		v.progress.Bytes += size
		v.progress.Blobs++
		if len(v.suspects.list) == 0 {
			v.place = after(digest)
		}
		if v.step(size) {
			return true
		}
		next = after(digest)
		return false
	}, func(path string) {
		v.found(Finding{Fault: FaultStray, What: path, Detail: "a file that cheeseboard did not write; it is left alone"}, nil)
	})
	if err = errors.Join(err, failed); err != nil && v.ctx.Err() == nil {
		return "", err
	}
	if v.ctx.Err() == nil {
		if err = v.settleSuspects(first); err == nil {
			err = v.settleOrphans()
		}
	}
	if err = errors.Join(v.ctx.Err(), err); err == nil || v.ctx.Err() == nil {
		return "", err
	}
	// Orphans that are not settled are met again, and so are suspects.
	for digest := range v.orphans {
		next = earlier(next, digest)
	}
	for _, s := range v.suspects.list {
		next = earlier(next, s.digest)
	}
	return next, err
}

// earlier is the place where to go on so that a digest is met, too.
func earlier(next string, digest pypi.Digest) string {
	if d := digest.String(); next == "" || d < next {
		return d
	}
	return next
}

// after gives the digest that follows one; "" after the last.
func after(d pypi.Digest) string {
	for i := len(d) - 1; i >= 0; i-- {
		if d[i]++; d[i] != 0 {
			return d.String()
		}
	}
	return ""
}

// save keeps the place where the next run goes on.
func (v *verifier) save(next string) error {
	if next == "" {
		return v.meta.SetValue(verifyKey, nil)
	}
	p := &v.progress
	raw, err := json.Marshal(verifyCursor{Next: next, Bytes: p.Bytes, Blobs: p.Blobs, Findings: p.Findings, Unmended: p.Unmended, Keep: v.keep})
	if err != nil {
		return err
	}
	return full(v.meta.SetValue(verifyKey, raw))
}

func (v *verifier) blob(digest pypi.Digest) error {
	if v.unknown {
		if sound, err := v.referenced(digest); err != nil || sound {
			return err
		}
	}
	seen, err := v.read(digest)
	var unreadable *fs.PathError
	f := Finding{Fault: FaultDigest, What: digest.String()}
	if err != nil || seen.digest != digest {
		f.Project, f.What = v.owner(digest)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil // removed since it was listed; a reference to it would have been found
	case errors.As(err, &unreadable) && seen.info != nil && !errors.Is(err, syscall.ENOMEM):
		f.Detail = err.Error()
		return v.suspect(digest, f, seen.info)
	case err != nil:
		return err
	}
	v.sound()
	switch {
	case seen.digest != digest:
		f.Detail = fmt.Sprintf("the bytes of %s have the digest %s", digest, seen.digest)
		v.found(f, func() error { return v.setAside(digest, seen.info) })
		return nil
	}
	sound, err := v.referenced(digest)
	if err != nil || sound {
		return err
	}
	orphan := false
	err = v.meta.Quietly(func() (err error) { orphan, err = v.orphan(digest); return err })
	if err != nil || !orphan {
		return err
	}
	if !v.opts.Repair {
		v.found(Finding{Fault: FaultUnreferenced, What: digest.String(), Detail: "no project refers to it"}, nil)
		return nil
	}
	if v.orphans[digest] = true; len(v.orphans) < orphansAtOnce {
		return nil
	}
	return v.settleOrphans()
}

// owner names the first project that has a reference to a blob, and its file;
// without one, no project and the digest.
func (v *verifier) owner(digest pypi.Digest) (project, what string) {
	names, err := v.meta.Holders(digest)
	for _, name := range names {
		if ref, here, refErr := v.meta.Ref(name, digest); err == nil && refErr == nil && here {
			return string(name), called(ref)
		}
	}
	return "", digest.String()
}

// called is how a finding names a file.
func called(r Ref) string {
	if r.Metadata {
		return r.Filename + ".metadata"
	}
	return r.Filename
}

// referenced tells whether a blob has references, each of them from both sides.
func (v *verifier) referenced(digest pypi.Digest) (bool, error) {
	names, err := v.meta.Holders(digest)
	for _, name := range names {
		if _, here, err := v.meta.Ref(name, digest); err != nil || !here {
			// One that is damaged has been reported with the references.
			return errors.Is(err, ErrDamaged), ignoreDamaged(err)
		}
	}
	return len(names) > 0, err
}

func ignoreDamaged(err error) error {
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// orphan looks again at a blob that seemed to have no reference. It runs while
// nothing is recorded or dropped: a blob that is on its way in has a state file
// until after it is recorded, one on its way out is doomed.
func (v *verifier) orphan(digest pypi.Digest) (bool, error) {
	if _, err := v.blobs.Size(digest); err != nil {
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return false, err
	}
	if v.blobs.Unrecorded(digest) {
		return false, nil
	}
	if doomed, err := v.meta.IsDoomed(digest); doomed || err != nil {
		return false, err
	}
	sound, err := v.referenced(digest)
	return !sound, err
}

// settleOrphans claims or removes the orphans that were found, and reports them.
func (v *verifier) settleOrphans() error {
	if len(v.orphans) == 0 {
		return nil
	}
	return v.claim(v.orphans, func(digest pypi.Digest, mended error) error {
		v.found(Finding{Fault: FaultUnreferenced, What: digest.String(), Detail: "no project refers to it"}, func() error { return mended })
		delete(v.orphans, digest)
		return nil
	})
}

var errKept = errors.New("no page names it; it is kept, since pages were lost that may have")

// claim gives each orphan to a project whose page names it, or removes it where
// none does. done is told of each how that went.
func (v *verifier) claim(orphans map[pypi.Digest]bool, done func(pypi.Digest, error) error) error {
	found := make(map[pypi.Digest]Ref, len(orphans))
	note := func(hashes pypi.Hashes, ref Ref) {
		if d, ok := hashes.SHA256(); ok && orphans[d] {
			ref.Digest = d
			found[d] = ref
		}
	}
	err := v.meta.Names(func(e pypi.ListEntry) bool {
		p, _, err := v.meta.Project(e.Name)
		if err != nil || p == nil {
			return true // reported with the pages
		}
		for i := range p.Files {
			f := &p.Files[i]
			note(f.Hashes, Ref{Name: e.Name, Filename: f.Filename})
			note(f.CoreMetadata.Hashes, Ref{Name: e.Name, Filename: f.Filename, Metadata: true})
		}
		return len(found) < len(orphans) && v.ctx.Err() == nil
	})
	if err = errors.Join(err, v.ctx.Err()); err != nil {
		return err
	}
	for digest := range orphans {
		ref, named := found[digest]
		var err error
		switch {
		case named:
			if ref.Size, err = v.blobs.Size(digest); err == nil {
				err = v.record(ref)
			}
		case v.keep && !v.opts.Unclaimed:
			err = errKept
		default:
			err = v.forget(digest)
		}
		if err := done(digest, err); err != nil {
			return err
		}
	}
	return nil
}

// forget removes a blob that no page names, and what is left of references to it.
func (v *verifier) forget(digest pypi.Digest) error {
	names, err := v.meta.Holders(digest)
	if err != nil {
		return err
	}
	for _, name := range names {
		half := func() (bool, error) {
			_, here, err := v.meta.Ref(name, digest)
			return !here, err
		}
		if _, err := v.meta.DropRef(name, digest, half); err != nil {
			return err
		}
	}
	return errors.Join(v.discard(digest), v.buryDoomed(digest))
}
