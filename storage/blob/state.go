package blob

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"

	"cheeseboard/storage/pypi"
)

// state is the file beside a partial. It is made durable only after the bytes
// that it speaks of: whatever a power cut leaves, it is older than they are, or
// as old. See FORMAT.md for what follows from that.
type state struct {
	Version int    `json:"version"`
	Digest  string `json:"digest"` // of the blob, so that it is nobody else's state
	Size    int64  `json:"size"`   // as the index states it; -1 unknown
	checkpoint
	Before    []checkpoint `json:"before"`     // earlier ones, the newest first
	Unread    int64        `json:"unread"`     // bytes that an earlier boot wrote, and that were not read back since
	UnreadSum []byte       `json:"unread_sum"` // SHA-256 of these
	Validator string       `json:"validator"`  // strong ETag of the upstream, for If-Range
	BootID    string       `json:"boot"`       // boot in which this was written
	Note      []byte       `json:"note"`       // the owner's
	Check     uint32       `json:"check"`      // CRC-32C of all this with a zero in its place
}

// checkpoint is a point from which a download can go on.
type checkpoint struct {
	Synced int64  `json:"synced"` // bytes that were durable when this was written
	Hash   []byte `json:"hash"`   // state of SHA-256 after Synced bytes
	From   int64  `json:"from"`   // where the block before it begins
	Block  uint32 `json:"block"`  // CRC-32C of the bytes from From to Synced
}

const (
	stateVersion = 2
	// oldVersion had no checkpoints and no check.
	oldVersion = 1
	// maxCheckpoints are kept: what a card that lies about a sync can have lost
	// are the last bytes that were given to it.
	maxCheckpoints = 4
)

// newBlockSum makes the check sum of blocks and states: it finds what is torn, or
// zeros. What somebody forged the digest finds.
func newBlockSum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// encode gives the file's bytes.
func (s state) encode() ([]byte, error) {
	s.Check = 0
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	s.Check = crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli))
	return json.Marshal(s)
}

// readState reads the state file of a digest.
func (d *Dir) readState(digest pypi.Digest) (state, error) {
	raw, err := os.ReadFile(d.statePath(digest))
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("read its state: %w", err)
	}
	switch s.Version {
	case oldVersion:
		s.From = s.Synced // a block of no bytes
		return s, nil
	case stateVersion:
	default:
		return s, fmt.Errorf("its state has version %d, not %d", s.Version, stateVersion)
	}
	if s.Digest != digest.String() {
		return s, fmt.Errorf("its state is that of %.64s", s.Digest)
	}
	if again, err := s.encode(); err != nil || !bytes.Equal(again, raw) {
		return s, errors.Join(errors.New("its state is garbled"), err)
	}
	return s, nil
}

// points are the checkpoints of a state, the newest first.
func (s *state) points() []checkpoint { return append([]checkpoint{s.checkpoint}, s.Before...) }

// push makes a checkpoint the newest one.
func (s *state) push(c checkpoint) {
	if s.Synced > 0 {
		s.Before = s.points()[:min(len(s.Before)+1, maxCheckpoints-1)]
	}
	s.checkpoint = c
}

// forget makes a state speak of no bytes.
func (s *state) forget() {
	s.checkpoint, s.Before, s.Unread, s.UnreadSum, s.Validator = checkpoint{}, nil, 0, nil, ""
}

// hashState takes up the SHA-256 of a checkpoint.
func (c checkpoint) hashState() (hash.Hash, error) {
	h := sha256.New()
	if c.Synced == 0 {
		return h, nil
	}
	um, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, errors.New("this build cannot take up a hash state")
	}
	if err := um.UnmarshalBinary(c.Hash); err != nil {
		return nil, fmt.Errorf("take up its hash state: %w", err)
	}
	return h, nil
}

// sane tells whether a checkpoint can be one.
func (c checkpoint) sane() bool { return c.Synced >= 0 && c.From >= 0 && c.From <= c.Synced }

// holds reads the block before a checkpoint back.
func (c checkpoint) holds(f io.ReaderAt) (bool, error) {
	sum := newBlockSum()
	n, err := io.Copy(sum, io.NewSectionReader(f, c.From, c.Synced-c.From))
	return err == nil && n == c.Synced-c.From && sum.Sum32() == c.Block, err
}
