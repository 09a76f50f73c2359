package upstream

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

// ProvenanceType is the media type of a file's attestations (PEP 740).
const ProvenanceType = "application/vnd.pypi.integrity.v1+json"

// MaxProvenance is the largest provenance that is taken, in bytes. PyPI's have some 10 KB.
const MaxProvenance = 256 << 10

// Provenance asks for the attestations of a file (PEP 740) at the address that its page
// states, and checks that they are of these bytes. What they are worth is for those to
// say who install: signatures are not checked. Every error is a *wire.Problem.
func (x *Index) Provenance(ctx context.Context, address string, digest pypi.Digest) ([]byte, error) {
	resp, err := x.client.Get(ctx, http.MethodGet, address, http.Header{"Accept": {ProvenanceType + ", application/json;q=0.5"}, "Accept-Encoding": {"identity"}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or of no use
	if resp.StatusCode != http.StatusOK {
		return nil, wire.StatusProblem(resp, address)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxProvenance+1))
	if err == nil {
		err = CheckProvenance(raw, digest)
	}
	if err != nil {
		return nil, problem(address, fmt.Errorf("read provenance: %w", err))
	}
	return raw, nil
}

// CheckProvenance tells whether these are attestations of bytes with that digest, each
// of them.
func CheckProvenance(raw []byte, digest pypi.Digest) error {
	if len(raw) > MaxProvenance {
		return fmt.Errorf("it has more than %d KB", MaxProvenance>>10)
	}
	var p struct {
		Version int `json:"version"`
		Bundles []struct {
			Attestations []struct {
				Envelope struct {
					Statement []byte `json:"statement"`
				} `json:"envelope"`
			} `json:"attestations"`
		} `json:"attestation_bundles"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		var corrupt base64.CorruptInputError
		if errors.As(err, &corrupt) {
			return errors.New("a statement is not written in base64")
		}
		return fmt.Errorf("it is no JSON of the form that it should have: %w", err)
	}
	if p.Version != 1 || len(p.Bundles) == 0 {
		return fmt.Errorf("it is of version %d with %d bundles; want version 1, and one at least", p.Version, len(p.Bundles))
	}
	for _, b := range p.Bundles {
		if len(b.Attestations) == 0 {
			return errors.New("a bundle has no attestations")
		}
		for _, a := range b.Attestations {
			if err := checkStatement(a.Envelope.Statement, digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkStatement looks for the digest among the subjects of a statement (in-toto).
func checkStatement(raw []byte, digest pypi.Digest) error {
	var s struct {
		Subject []struct {
			Digest struct {
				SHA256 string `json:"sha256"`
			} `json:"digest"`
		} `json:"subject"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read a statement: %w", err)
	}
	for _, subject := range s.Subject {
		if d, err := pypi.ParseDigest(subject.Digest.SHA256); err == nil && d == digest {
			return nil
		}
	}
	return fmt.Errorf("an attestation is of other bytes than those with the sha256 %s", digest)
}
