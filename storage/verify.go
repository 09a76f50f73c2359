package storage

import (
	"context"
	"encoding/json"
	"errors"

	"cheeseboard/storage/pypi"
)

// Fault names one way in which a store can be wrong.
type Fault string

// The faults that Verify looks for. A page that is lost is not repaired: it is
// made to be fetched anew, and what is here of it stays.
const (
	FaultMissing      Fault = "missing"      // a reference without bytes
	FaultSize         Fault = "size"         // bytes of another length than recorded
	FaultDigest       Fault = "digest"       // bytes that do not have their digest
	FaultUnreferenced Fault = "unreferenced" // bytes that nothing references
	FaultUnnamed      Fault = "unnamed"      // a reference that the project's page does not name
	FaultReference    Fault = "reference"    // a reference that cannot be read, or only from one side
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

// ofBytes tells whether a file's bytes are not what they should be.
func (f Finding) ofBytes() bool {
	return f.Fault == FaultMissing || f.Fault == FaultSize || f.Fault == FaultDigest
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
	// Unclaimed, with Repair, removes files that no page names even where pages
	// were lost or the metadata are younger than the files.
	Unclaimed bool
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
	Keep     bool   `json:"keep"` // pages were lost: their files are still wanted
}

type verifier struct {
	*Store
	ctx      context.Context
	opts     VerifyOptions
	progress VerifyProgress
	keep     bool                 // files that no page names are kept
	orphans  map[pypi.Digest]bool // found, to be claimed or removed together
	stop     error                // ends a walk
	read     func(pypi.Digest) (seen, error)
	place    string // the digest after the last that was hashed
	unknown  bool   // only blobs are hashed to which nothing refers
	suspects suspects
}

func (s *Store) newVerifier(ctx context.Context, opts VerifyOptions) *verifier {
	return &verifier{Store: s, ctx: ctx, opts: opts, orphans: make(map[pypi.Digest]bool), read: s.hash}
}

// Verify proves the invariants of the store, hashing every byte. It may run
// while the store is in use. When ctx ends it keeps its place, and the next
// Verify goes on there. It returns an error only when it could not look; what it
// found is in the result.
func (s *Store) Verify(ctx context.Context, opts VerifyOptions) (VerifyProgress, error) {
	v := s.newVerifier(ctx, opts)
	var cursor verifyCursor
	raw, err := s.meta.Value(verifyKey)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return v.progress, err
	}
	if raw != nil && !opts.Restart && json.Unmarshal(raw, &cursor) == nil {
		v.progress.Resumed, v.keep = true, cursor.Keep
		v.progress.Bytes, v.progress.Blobs = cursor.Bytes, cursor.Blobs
		v.progress.Findings, v.progress.Unmended = cursor.Findings, cursor.Unmended
	} else if err := v.metadata(); err != nil {
		return v.progress, err
	}
	if err := v.files(cursor.Next); err != nil {
		return v.progress, err
	}
	if raw != nil {
		err = s.meta.SetValue(verifyKey, nil)
	}
	if opts.Repair && opts.Unclaimed {
		err = errors.Join(err, s.meta.SetValue(rebuiltKey, nil))
	}
	if err = errors.Join(err, s.checked(v.progress)); err != nil {
		return v.progress, err
	}
	v.progress.Completed = true
	v.tell()
	return v.progress, nil
}

// metadata is the cheap part, done in one go; only hashing is resumed.
func (v *verifier) metadata() (err error) {
	if v.keep, err = v.rebuilt(); err != nil {
		return err
	}
	if err := v.pages(); err != nil {
		return err
	}
	if err := v.listed(); err != nil {
		return err
	}
	return v.references()
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
	if f.ofBytes() && v.Private(pypi.Name(f.Project)) {
		f.Detail += "; it is private, and no upstream has it: upload it again"
	}
	v.progress.Findings++
	if !f.Repaired {
		v.progress.Unmended++
	}
	if v.opts.Report != nil {
		v.opts.Report(f)
	}
}

// step counts, says now and then how far it is, and tells whether to go on.
func (v *verifier) step(n int64) bool {
	before := v.progress.Done >> 12
	v.progress.Done += n
	if v.progress.Done>>12 != before {
		v.tell()
	}
	v.stop = v.ctx.Err()
	return v.stop == nil
}
