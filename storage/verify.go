package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// Fault names one way in which a store can be wrong.
type Fault string

// The faults that Verify looks for. Damaged pages are reported, not repaired:
// the next sync fetches them.
const (
	FaultMissing      Fault = "missing"      // a reference without bytes
	FaultSize         Fault = "size"         // bytes of another length than recorded
	FaultDigest       Fault = "digest"       // bytes that do not have their digest
	FaultUnreferenced Fault = "unreferenced" // bytes that nothing references
	FaultUnnamed      Fault = "unnamed"      // a reference that the project's page does not name
	FaultPage         Fault = "page"         // a page that cannot be read
	FaultStray        Fault = "stray"        // a file that is not one of ours
)

// Finding is one fault in one place.
type Finding struct {
	Fault    Fault  `json:"fault"`
	What     string `json:"what"` // the file or digest
	Project  string `json:"project,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Repaired bool   `json:"repaired"`
}

// VerifyProgress says how far a Verify is.
type VerifyProgress struct {
	Phase     string `json:"phase"` // "pages", "references", "files"
	Done      int64  `json:"done"`  // bytes hashed in the phase "files", entries in the others
	Total     int64  `json:"total"` // of Done, as far as known; 0 where it is not
	Resumed   bool   `json:"resumed"`
	Bytes     int64  `json:"bytes"`  // hashed in this run and those that it goes on from
	Blobs     int    `json:"blobs"`  // hashed, likewise
	Findings  int    `json:"faults"` // so far, likewise
	Unmended  int    `json:"unmended"`
	Completed bool   `json:"completed"`
}

// VerifyOptions are the settings of a Verify.
type VerifyOptions struct {
	Repair  bool // mend what can be mended without the upstream
	Restart bool // do not go on where an interrupted run stopped
	// Report is called with each finding, Progress now and then; nil: not.
	Report   func(Finding)
	Progress func(VerifyProgress)
}

const verifyKey = "verify"

// verifyCursor is what an interrupted run leaves, so that the next need not
// hash again what was hashed.
type verifyCursor struct {
	Next     string `json:"next"` // first digest that was not hashed
	Bytes    int64  `json:"bytes"`
	Blobs    int    `json:"blobs"`
	Findings int    `json:"findings"`
	Unmended int    `json:"unmended"`
}

type verifier struct {
	*Store
	ctx      context.Context
	opts     VerifyOptions
	progress VerifyProgress
}

// Verify proves the invariants of the store, hashing every byte. It may run
// while the store is in use. When ctx ends it keeps its place, and the next
// Verify goes on there. It returns an error only when it could not look; what it
// found is in the result.
func (s *Store) Verify(ctx context.Context, opts VerifyOptions) (VerifyProgress, error) {
	v := &verifier{Store: s, ctx: ctx, opts: opts}
	var cursor verifyCursor
	raw, err := s.meta.Value(verifyKey)
	if err != nil {
		return v.progress, err
	}
	if raw != nil && !opts.Restart && json.Unmarshal(raw, &cursor) == nil {
		v.progress.Resumed = true
		v.progress.Bytes, v.progress.Blobs = cursor.Bytes, cursor.Blobs
		v.progress.Findings, v.progress.Unmended = cursor.Findings, cursor.Unmended
	} else {
		// The cheap phases are done in one go; only hashing is resumed.
		if err := v.pages(); err != nil {
			return v.progress, err
		}
		if err := v.references(); err != nil {
			return v.progress, err
		}
	}
	if err := v.files(cursor.Next); err != nil {
		return v.progress, err
	}
	v.progress.Completed = true
	v.tell()
	return v.progress, nil
}

func (v *verifier) tell() {
	if v.opts.Progress != nil {
		v.opts.Progress(v.progress)
	}
}

// found reports a fault; mend is tried when repairs were asked for.
func (v *verifier) found(f Finding, mend func() error) {
	if v.opts.Repair && mend != nil {
		err := mend()
		f.Repaired = err == nil
		if err != nil {
			f.Detail += "; not repaired: " + err.Error()
		}
	}
	v.progress.Findings++
	if !f.Repaired {
		v.progress.Unmended++
	}
	if v.opts.Report != nil {
		v.opts.Report(f)
	}
}

// step counts, and says now and then how far it is.
func (v *verifier) step(n int64) error {
	before := v.progress.Done >> 12
	v.progress.Done += n
	if v.progress.Done>>12 != before {
		v.tell()
	}
	return v.ctx.Err()
}

// pages reads every page, so that each record's checksum is seen.
func (v *verifier) pages() error {
	v.progress.Phase, v.progress.Done = "pages", 0
	v.tell()
	var names []pypi.Name
	if err := v.meta.Names(func(e pypi.ListEntry) bool { names = append(names, e.Name); return true }); err != nil {
		return err
	}
	v.progress.Total = int64(len(names))
	for _, name := range names {
		if _, ok, err := v.meta.Project(name); err != nil {
			v.found(Finding{Fault: FaultPage, What: string(name), Project: string(name), Detail: err.Error()}, nil)
		} else if _, listed, err := v.meta.Info(name); !ok && listed && err == nil {
			v.found(Finding{Fault: FaultPage, What: string(name), Project: string(name), Detail: "it is listed, but its page is missing"}, func() error { return v.DeleteProject(name) })
		}
		if err := v.step(1); err != nil {
			return err
		}
	}
	return nil
}

// references checks each reference against its page and its bytes' length.
func (v *verifier) references() error {
	v.progress.Phase, v.progress.Done, v.progress.Total = "references", 0, 0
	v.tell()
	var refs []Ref
	if err := v.meta.Refs("", func(r Ref) bool { refs = append(refs, r); return true }); err != nil {
		return err
	}
	v.progress.Total = int64(len(refs))
	var page *pypi.Project
	for _, r := range refs {
		if page == nil || page.Name != r.Name {
			p, ok, err := v.meta.Project(r.Name)
			if err != nil {
				continue // reported with the pages
			}
			if page = p; !ok {
				page = &pypi.Project{Name: r.Name}
			}
		}
		if _, still, err := v.meta.Ref(r.Name, r.Digest); err != nil || !still {
			continue // dropped since the list was made
		}
		if err := v.reference(page, r); err != nil {
			return err
		}
		if err := v.step(1); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) reference(page *pypi.Project, r Ref) error {
	f := Finding{What: r.Filename, Project: string(r.Name), Detail: r.Digest.String()}
	drop := func() error { return v.drop(r) }
	size, err := v.blobs.Size(r.Digest)
	switch {
	case errors.Is(err, ErrNotFound):
		f.Fault = FaultMissing
		v.found(f, drop)
	case err != nil:
		return err
	case size != r.Size:
		f.Fault = FaultSize
		f.Detail += fmt.Sprintf(": %d bytes, recorded are %d", size, r.Size)
		v.found(f, func() error { return v.setAside(r.Digest) })
	case !meta.Names(page, r.Digest):
		f.Fault = FaultUnnamed
		v.found(f, drop)
	}
	return nil
}

// drop forgets one reference and removes the bytes if it was the last.
func (v *verifier) drop(r Ref) error {
	doomed, err := v.meta.DropRef(r.Name, r.Digest)
	if err != nil || !doomed {
		return err
	}
	return v.bury([]pypi.Digest{r.Digest})
}

// setAside drops every reference to a bad blob, after moving its bytes into the
// quarantine. The next sync or the next client brings the file anew.
func (v *verifier) setAside(digest pypi.Digest) error {
	if _, err := v.blobs.Quarantine(digest); err != nil {
		return err
	}
	names, err := v.meta.Holders(digest)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := v.drop(Ref{Name: name, Digest: digest}); err != nil {
			return err
		}
	}
	return nil
}

// files hashes every blob from the given digest on.
func (v *verifier) files(from string) error {
	first, err := pypi.ParseDigest(from)
	if from != "" && err != nil {
		return fmt.Errorf("go on with verify: %w", err)
	}
	v.progress.Phase, v.progress.Done, v.progress.Total = "files", v.progress.Bytes, 0
	type entry struct {
		digest pypi.Digest
		size   int64
	}
	var list []entry
	err = v.blobs.Each(first, func(d pypi.Digest, size int64) bool {
		list = append(list, entry{d, size})
		v.progress.Total += size
		return true
	}, func(path string) {
		v.found(Finding{Fault: FaultStray, What: path, Detail: "a file that cheeseboard did not write; it is left alone"}, nil)
	})
	if err != nil {
		return err
	}
	v.progress.Total += v.progress.Done
	v.tell()
	for i, e := range list {
		if err := v.blob(e.digest); err != nil {
			return err
		}
		v.progress.Bytes += e.size
		v.progress.Blobs++
		if err := v.step(e.size); err != nil {
			next := ""
			if i+1 < len(list) {
				next = list[i+1].digest.String()
			}
			return errors.Join(err, v.save(next))
		}
	}
	if from == "" {
		return nil
	}
	return v.meta.SetValue(verifyKey, nil)
}

func (v *verifier) save(next string) error {
	if next == "" {
		return v.meta.SetValue(verifyKey, nil)
	}
	raw, err := json.Marshal(verifyCursor{Next: next, Bytes: v.progress.Bytes, Blobs: v.progress.Blobs, Findings: v.progress.Findings, Unmended: v.progress.Unmended})
	if err != nil {
		return err
	}
	return v.meta.SetValue(verifyKey, raw)
}

func (v *verifier) blob(digest pypi.Digest) error {
	f, err := v.blobs.OpenBlob(digest)
	if errors.Is(err, ErrNotFound) {
		return nil // removed since it was listed; a reference to it would have been found
	}
	if err != nil {
		return err
	}
	got, _, err := hashFile(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	var unreadable *os.PathError
	switch {
	case errors.As(err, &unreadable):
		v.found(Finding{Fault: FaultDigest, What: digest.String(), Detail: err.Error()}, func() error { return v.setAside(digest) })
		return nil
	case err != nil:
		return err
	case got != digest:
		v.found(Finding{Fault: FaultDigest, What: digest.String(), Detail: "the bytes have the digest " + got.String()}, func() error { return v.setAside(digest) })
		return nil
	}
	referenced, err := v.meta.Referenced(digest)
	if err != nil || referenced || v.blobs.Unrecorded(digest) {
		return err // a blob whose state file stands is being recorded at this moment
	}
	v.found(Finding{Fault: FaultUnreferenced, What: digest.String(), Detail: "no project refers to it"}, func() error { return v.claim(digest) })
	return nil
}

// claim gives an unreferenced blob to the project whose page names it, or
// removes it where none does.
func (v *verifier) claim(digest pypi.Digest) error {
	var found *Ref
	var failed error
	err := v.meta.Names(func(e pypi.ListEntry) bool {
		p, _, err := v.meta.Project(e.Name)
		if err != nil || p == nil {
			return true // reported with the pages
		}
		for i := range p.Files {
			f := &p.Files[i]
			if d, ok := f.Hashes.SHA256(); ok && d == digest {
				found = &Ref{Name: e.Name, Digest: digest, Filename: f.Filename}
			} else if d, ok := f.CoreMetadata.Hashes.SHA256(); ok && d == digest {
				found = &Ref{Name: e.Name, Digest: digest, Filename: f.Filename, Metadata: true}
			}
		}
		failed = v.ctx.Err()
		return found == nil && failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if found == nil {
		return v.meta.Bury(digest, func() error { return v.blobs.Remove(digest) })
	}
	if found.Size, err = v.blobs.Size(digest); err != nil {
		return err
	}
	return v.record(*found)
}
