package update

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The bounds of an index of releases.
const (
	MostIndex    = 256 << 10 // bytes
	mostReleases = 64
)

// Index lists releases. See FORMAT.md.
type Index struct {
	Format   int       `json:"format"` // 1
	Issued   time.Time `json:"issued"`
	Releases []Offer   `json:"releases"`
}

// Offer is one release for one board.
type Offer struct {
	Version Version `json:"version"`
	Board   string  `json:"board"`
	URL     string  `json:"url"`    // of the bundle, absolute or relative to the index
	Length  int64   `json:"length"` // of the bundle, bytes
	SHA256  string  `json:"sha256"` // of the bundle, hex
	Notes   string  `json:"notes,omitempty"`
}

func (o Offer) check() error {
	digest, err := hex.DecodeString(o.SHA256)
	switch {
	case !isBoard(o.Board):
		return fmt.Errorf("its board %.40q is no name", o.Board)
	case o.URL == "" || o.Length < 1 || o.Length > mostSlot+2*mostManifest:
		return errors.New("its bundle has no address, or an impossible length")
	case err != nil || len(digest) != 32:
		return fmt.Errorf("%.80q is no SHA-256", o.SHA256)
	}
	return nil
}

// signedIndex is how an index travels.
type signedIndex struct {
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
}

// WriteIndex signs an index.
func WriteIndex(x Index, key ed25519.PrivateKey) ([]byte, error) {
	x.Format = format
	payload, err := json.Marshal(x)
	if err != nil {
		return nil, fmt.Errorf("write the index of releases: %w", err)
	}
	raw, err := json.Marshal(signedIndex{payload, sign(key, indexContext, payload)})
	if err == nil && len(raw) > MostIndex {
		err = fmt.Errorf("it has %d bytes; at most %d are read", len(raw), MostIndex)
	}
	if err == nil {
		_, err = ParseIndex(raw, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)})
	}
	if err != nil {
		return nil, fmt.Errorf("write the index of releases: %w", err)
	}
	return append(raw, '\n'), nil
}

// ParseIndex reads an index of at most MostIndex bytes, and believes nothing before
// one of the keys has signed it.
func ParseIndex(raw []byte, keys []ed25519.PublicKey) (Index, error) {
	var s signedIndex
	var x Index
	err := json.Unmarshal(raw, &s)
	switch {
	case err != nil:
		return x, fmt.Errorf("read the index of releases: it is none: %w", err)
	case !signed(keys, indexContext, s.Payload, s.Signature):
		return x, errors.New("read the index of releases: it is not signed by anybody whom this box trusts")
	}
	if err := json.Unmarshal(s.Payload, &x); err != nil {
		return x, fmt.Errorf("read the index of releases: %w", err)
	}
	if x.Format != format || len(x.Releases) > mostReleases {
		return x, fmt.Errorf("read the index of releases: its format is %d with %d releases; this version understands format %d with at most %d", x.Format, len(x.Releases), format, mostReleases)
	}
	for _, o := range x.Releases {
		if err := o.check(); err != nil {
			return x, fmt.Errorf("read the index of releases: version %s: %w", o.Version, err)
		}
	}
	return x, nil
}

// Newest is the newest release for a board; false where there is none.
func (x Index) Newest(board string) (newest Offer, ok bool) {
	for _, o := range x.Releases {
		if o.Board == board && (!ok || o.Version.Compare(newest.Version) > 0) {
			newest, ok = o, true
		}
	}
	return newest, ok
}
