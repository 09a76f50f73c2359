// Package update keeps the image of a box up to date without ever risking it: what
// a bundle is, how it is installed into the slot that does not run, how the boot
// firmware is told which slot to start, and how a new version is tried and judged.
//
// The card has a first partition with autoboot.txt, and two slots. A bundle is
// installed into the other slot; the machine restarts with a flag that holds once,
// so that it starts the other slot; when that one has been of use for a while,
// autoboot.txt is rewritten and it is the default from then on. Everything else, a
// panic, a hang, a power cut, leads back to the slot that was there before.
// FORMAT.md describes the bytes.
package update

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"cheeseboard/firmware/machine"
)

// The bounds of a bundle. They hold before anything of it is believed.
const (
	magic        = "CHEESEUP" // the first bytes of a bundle
	mostManifest = 16 << 10   // bytes of JSON
	mostSlot     = 1 << 30    // bytes of a slot's image
	sector       = 512
	// headSize is how much of a slot is written last: the boot sector of its FAT32 and
	// its copy (sector 6) lie within. Without them nothing can start the slot.
	headSize = 4 << 10
)

// What is signed begins with what it is, so that no signature serves for another
// kind of text.
const (
	bundleContext = "cheeseboard bundle 1\n"
	indexContext  = "cheeseboard releases 1\n"
)

// format is the version of manifests and indexes that is written and understood.
const format = 1

// Manifest says what a bundle holds. It is signed, and holds the digest of the rest.
type Manifest struct {
	Format  int     `json:"format"` // 1
	Version Version `json:"version"`
	Board   string  `json:"board"`  // small letters, digits and "-": the kind of machine it is for
	Size    int64   `json:"size"`   // of the slot's image, bytes: whole sectors
	SHA256  string  `json:"sha256"` // of the slot's image, hex
	Packed  int64   `json:"packed"` // of the image under gzip, bytes: what follows the signature
	// Floor is the oldest version that may be installed where this one runs. It is
	// raised when going back would open a hole, or ruin data.
	Floor Version `json:"floor"`
}

// isBoard tells whether a text can be the name of a board: up to 32 lower-case letters,
// digits and hyphens, the first of which is no hyphen.
func isBoard(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// check holds a manifest to its bounds.
func (m Manifest) check() error {
	digest, err := hex.DecodeString(m.SHA256)
	switch {
	case m.Format != format:
		return fmt.Errorf("its format is %d, and this version understands %d: install a version in between first", m.Format, format)
	case !isBoard(m.Board):
		return fmt.Errorf("its board %.40q is no name", m.Board)
	case m.Size < 2*headSize || m.Size > mostSlot || m.Size%sector != 0:
		return fmt.Errorf("a slot's image cannot have %d bytes", m.Size)
	case m.Packed < 1 || m.Packed > mostSlot:
		return fmt.Errorf("a compressed image cannot have %d bytes", m.Packed)
	case err != nil || len(digest) != 32:
		return fmt.Errorf("%.80q is no SHA-256", m.SHA256)
	case m.Floor.Compare(m.Version) > 0:
		return fmt.Errorf("its floor %s is above its version %s", m.Floor, m.Version)
	}
	return nil
}

// Bundle is an opened bundle: its manifest has a good signature and holds its
// bounds. The image still has to come.
type Bundle struct {
	Manifest
	Length int64 // of the whole bundle, bytes
	rest   io.Reader
}

// Open reads a bundle up to its image, and believes nothing before one of the keys
// has signed it. Its errors about the bundle are *machine.Refusal.
func Open(r io.Reader, keys []ed25519.PublicKey) (*Bundle, error) {
	var fixed [len(magic) + 4]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return nil, cutShort("read the bundle", err)
	}
	if string(fixed[:len(magic)]) != magic {
		return nil, refuse(machine.BadFormat, "this is no bundle of Cheeseboard: it does not begin as one")
	}
	n := binary.BigEndian.Uint32(fixed[len(magic):])
	if n == 0 || n > mostManifest {
		return nil, refuse(machine.BadFormat, "this is no bundle of Cheeseboard: its manifest has %d bytes", n)
	}
	text := make([]byte, int(n)+ed25519.SignatureSize)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, cutShort("read the bundle's manifest", err)
	}
	text, signature := text[:n], text[n:]
	if !signed(keys, bundleContext, text, signature) {
		return nil, refuse(machine.BadSignature, "the bundle is not signed by anybody whom this box trusts: take it from the place where its releases come from")
	}
	b := &Bundle{rest: r}
	if err := json.Unmarshal(text, &b.Manifest); err != nil {
		return nil, refuse(machine.BadFormat, "read the bundle's manifest: %v", err)
	}
	if err := b.check(); err != nil {
		return nil, refuse(machine.BadFormat, "the bundle of version %s cannot be used: %v", b.Version, err)
	}
	b.Length = int64(len(fixed)) + int64(n) + ed25519.SignatureSize + b.Packed
	return b, nil
}

// signed tells whether one of the keys has signed a text of a kind.
func signed(keys []ed25519.PublicKey, context string, text, signature []byte) bool {
	message := append([]byte(context), text...)
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize && ed25519.Verify(k, message, signature) {
			return true
		}
	}
	return false
}

// image gives the slot's image, unpacked. It never gives more than Size bytes, and
// io.EOF only where the image and the bundle have both ended there.
func (b *Bundle) image() (io.Reader, error) {
	packed := bufio.NewReaderSize(io.LimitReader(b.rest, b.Packed), 64<<10)
	z, err := gzip.NewReader(packed)
	if err != nil {
		return nil, unpackError(err)
	}
	z.Multistream(false)
	return &imageReader{z: z, packed: packed, rest: b.rest, left: b.Size}, nil
}

type imageReader struct {
	z      *gzip.Reader
	packed *bufio.Reader // what z reads
	rest   io.Reader     // what is behind it
	left   int64
}

func (i *imageReader) Read(p []byte) (int, error) {
	if i.left == 0 {
		return 0, i.end()
	}
	if int64(len(p)) > i.left {
		p = p[:i.left]
	}
	n, err := i.z.Read(p)
	i.left -= int64(n)
	switch {
	case err == nil || errors.Is(err, io.EOF) && i.left == 0:
		return n, nil
	case errors.Is(err, io.EOF):
		return n, refuse(machine.Corrupt, "the image in the bundle is shorter than the bundle says: fetch it anew")
	}
	return n, unpackError(err)
}

// end looks whether there is more than there should be: nothing that was not signed
// for is passed over in silence.
func (i *imageReader) end() error {
	var one [1]byte
	n, err := i.z.Read(one[:])
	if err != nil && !errors.Is(err, io.EOF) {
		return unpackError(err)
	}
	if n == 0 {
		if _, err = i.packed.ReadByte(); err == nil {
			n = 1
		}
	}
	if n == 0 {
		n, err = io.ReadFull(i.rest, one[:])
	}
	switch {
	case n > 0:
		return refuse(machine.Corrupt, "the bundle is longer than it says: fetch it anew")
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("read the bundle: %w", err)
}

// unpackError tells a bundle that is wrong from one that does not arrive.
func unpackError(err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || isFlate(err) {
		return refuse(machine.Corrupt, "the image in the bundle is damaged (%v): fetch it anew", err)
	}
	return cutShort("read the bundle", err)
}

func cutShort(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(machine.Truncated, "the bundle ends too early: fetch it anew")
	}
	return fmt.Errorf("%s: %w", what, err)
}

func refuse(kind machine.RefusalKind, text string, args ...any) *machine.Refusal {
	return &machine.Refusal{Kind: kind, Text: fmt.Sprintf(text, args...)}
}

// header is what comes before the packed image.
func header(text, signature []byte) []byte {
	var b bytes.Buffer
	b.WriteString(magic)
	_ = binary.Write(&b, binary.BigEndian, uint32(len(text))) // a Buffer takes everything
	b.Write(text)
	b.Write(signature)
	return b.Bytes()
}
