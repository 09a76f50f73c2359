package storage

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"cheeseboard/storage/pypi"

	"github.com/klauspost/compress/gzip"
)

// Attestations of files (PEP 740) are kept under the digest of the file, as long as the
// file is here.

const attestPrefix = "attest/"

// maxAttestation bounds what is unpacked, in bytes.
const maxAttestation = 1 << 20

// Attestation gives what is kept of a file; nil where nothing is.
func (s *Store) Attestation(digest pypi.Digest) ([]byte, error) {
	packed, err := s.meta.Value(attestPrefix + digest.String())
	if packed == nil || err != nil {
		return nil, err
	}
	raw, err := unpackAttestation(packed)
	if err != nil {
		return nil, fmt.Errorf("unpack attestations of %s: %w", digest, err)
	}
	return raw, nil
}

func unpackAttestation(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxAttestation))
}

// SetAttestation keeps the attestations of a file that is here; of one that is not,
// nothing happens. Durable when it returns. ErrFull.
func (s *Store) SetAttestation(digest pypi.Digest, raw []byte) error {
	here, err := s.meta.Referenced(digest)
	if !here || err != nil {
		return err
	}
	if len(raw) > maxAttestation {
		return fmt.Errorf("keep attestations of %s: more than %d bytes", digest, maxAttestation)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err = z.Write(raw); err == nil {
		err = z.Close()
	}
	if err != nil {
		return fmt.Errorf("pack attestations of %s: %w", digest, err)
	}
	return full(s.meta.SetValue(attestPrefix+digest.String(), packed.Bytes()))
}

// SweepAttestations removes those of files that are not here any more, and tells how
// many.
func (s *Store) SweepAttestations() (swept int, err error) {
	var stale []string
	err = s.meta.ValueKeys(attestPrefix, func(key string) (bool, error) {
		digest, err := pypi.ParseDigest(strings.TrimPrefix(key, attestPrefix))
		here := false
		if err == nil {
			here, err = s.meta.Referenced(digest)
		} else {
			err = nil // nobody can ask for it
		}
		if !here && err == nil {
			stale = append(stale, key)
		}
		return true, err
	})
	for _, key := range stale {
		if err != nil {
			break
		}
		if err = full(s.meta.SetValue(key, nil)); err == nil {
			swept++
		}
	}
	return swept, err
}
