package syncer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/wire"
)

// Attestations of a file (PEP 740) come with it, or when somebody asks for them, and
// are kept as long as the file is.

// Attestations keeps them, by the digest of the file that they are of. Its methods may
// be called concurrently.
type Attestations interface {
	// Attestation gives what is kept; nil where nothing is.
	Attestation(pypi.Digest) ([]byte, error)
	// SetAttestation keeps the attestations of a file that is here; of one that is
	// not, nothing happens. Durable when it returns. ErrFull.
	SetAttestation(pypi.Digest, []byte) error
}

// maxUnattested is for how many files a pass waits for attestations at its end.
const maxUnattested = 200

// Provenance gives the attestations of a file, as the page of a project names it.
// Errors: *Absent, and those of the store.
func (e *Engine) Provenance(ctx context.Context, name pypi.Name, filename string) ([]byte, error) {
	if e.opts.Attestations == nil {
		return nil, &Absent{Reason: "attestations are not kept here"}
	}
	if reason, blocked := e.Blocked(name); blocked {
		return nil, &Absent{Reason: reason}
	}
	s := e.stay(ctx)
	var lookErr error
	if _, known, err := e.cat.Generation(name); err != nil {
		return nil, err
	} else if !known {
		_, lookErr = e.freshen(s, name)
	}
	f, known, err := e.named(name, filename)
	switch {
	case err != nil:
		return nil, err
	case !known && hereOnly(ctx):
		return nil, &Absent{Reason: fmt.Sprintf("%s is not on this cheeseboard", name)}
	case !known:
		return nil, e.absentPage(s, name, lookErr)
	case f == nil:
		return nil, &Absent{Reason: fmt.Sprintf("the page of %s names no %s", name, filename)}
	}
	digest, ok := f.Hashes.SHA256()
	if reason := e.Withheld(name, f); reason != "" || !ok {
		return nil, &Absent{Reason: reason}
	}
	raw, err := e.opts.Attestations.Attestation(digest)
	if raw != nil || err != nil {
		return raw, err
	}
	switch {
	case f.Provenance == "":
		return nil, &Absent{Reason: "the index states no provenance of " + filename}
	case hereOnly(ctx) || !e.opts.Pull:
		return nil, &Absent{Reason: "the provenance of " + filename + " is not on this cheeseboard"}
	case !e.Line.Up():
		return nil, e.absentLine(s, "the provenance of "+filename, name)
	}
	// Others may wait for the same: it is not called off with this client.
	ctx, cancel := context.WithDeadline(budget.With(e.ctx, budget.Person), s.end)
	defer cancel()
	raw, err = e.askProvenance(ctx, f.Provenance, digest)
	switch {
	case wire.CauseOf(err) == wire.Gone:
		return nil, &Absent{Reason: "the upstream has no provenance of " + filename}
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded), transient(err):
		return nil, &Absent{Reason: fmt.Sprintf("the provenance of %s is not here yet: %v", filename, err), RetryAfter: comeBack}
	case err != nil:
		return nil, &Absent{Reason: fmt.Sprintf("the provenance of %s could not be fetched: %v", filename, err)}
	}
	return raw, nil
}

// named finds a file on a page by its name, as far as the project offers files.
func (e *Engine) named(name pypi.Name, filename string) (found *pypi.File, known bool, err error) {
	known, err = e.cat.Visit(name, func(p *pypi.Project, _ uint64, files pypi.Files) error {
		if p.Status.State == pypi.StatusQuarantined {
			return nil
		}
		for f, err := range files {
			if err != nil {
				return err
			}
			if f.Filename == filename {
				found = &pypi.File{Filename: filename, Hashes: slices.Clone(f.Hashes), Provenance: strings.Clone(f.Provenance), UploadTime: f.UploadTime}
				for i := range found.Hashes {
					found.Hashes[i].Hex = strings.Clone(found.Hashes[i].Hex)
				}
				return nil
			}
		}
		return nil
	})
	return found, known, err
}

// askProvenance fetches attestations, once for all who want them at the same time, and
// keeps them.
func (e *Engine) askProvenance(ctx context.Context, address string, digest pypi.Digest) ([]byte, error) {
	out, err, _ := e.attesting.Do(digest.String(), func() (any, error) {
		if err := e.admit(budget.ClassOf(ctx)); err != nil {
			return nil, err
		}
		raw, err := e.index.Provenance(ctx, address, digest)
		if err != nil {
			return nil, err
		}
		if err := e.opts.Attestations.SetAttestation(digest, raw); err != nil {
			e.log.Warn("attestations could not be kept", "sha256", digest, "reason", err)
		}
		return raw, nil
	})
	if err != nil {
		return nil, err
	}
	return out.([]byte), nil
}

// attest brings the attestations of a file that has come. Where that fails, another
// pass tries again, or whoever asks for them.
func (e *Engine) attest(ctx context.Context, item Item, class budget.Class) {
	if e.opts.Attestations == nil || item.Metadata {
		return
	}
	f, _, _, err := e.cat.File(item.Name, item.Digest, item.Filename)
	if err != nil || f == nil || f.Provenance == "" {
		return
	}
	raw, err := e.opts.Attestations.Attestation(item.Digest)
	if raw == nil && err == nil {
		ctx, cancel := context.WithTimeout(budget.With(ctx, class), patience)
		defer cancel()
		_, err = e.askProvenance(ctx, f.Provenance, item.Digest)
	}
	if err != nil && !ours(err) {
		e.log.Debug("the provenance of a file did not come", "filename", item.Filename, "reason", err)
	}
}

// unattest remembers a chosen file that is here, for the end of the pass.
func (p *pass) unattest(item Item, f *pypi.File) {
	if p.Engine.opts.Attestations == nil || f.Provenance == "" {
		return
	}
	if raw, err := p.Engine.opts.Attestations.Attestation(item.Digest); raw != nil || err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awaitAttestation(item)
}

// awaitAttestation is unattest for a file that has just come. p.mu is held.
func (p *pass) awaitAttestation(item Item) {
	if len(p.unattested) < maxUnattested {
		p.unattested = append(p.unattested, item)
	}
}

// attestations brings what is missing, and waits for what is under way.
func (p *pass) attestations() {
	for _, item := range p.unattested {
		if p.stopped() != nil || !p.Line.Up() {
			return
		}
		p.attest(p.ctx, item, p.class())
	}
}
