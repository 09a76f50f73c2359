package syncer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"cheeseboard/syncer/upstream"
)

// The note of nearly every page says only how to ask whether it has changed. With
// those of a whole index it is the largest thing after the digests, so it has a
// form of its own, of about 35 bytes; every other note is JSON.
//
//	1 byte   quietNote
//	4 bytes  the first of the SHA-256 of the upstream's address
//	varint   when the page was asked for: microseconds since 1970
//	1 byte   1: 16 bytes follow, the ETag is their base64 in quotes; 0: a text
//	text     uvarint length and bytes, the ETag; where it did not follow already
//	text     Last-Modified

const quietNote = 1

// otherIndex stands before the sum of an upstream whose address is not kept.
const otherIndex = "?"

func sumOf(address string) []byte {
	if digits, is := strings.CutPrefix(address, otherIndex); is {
		if sum, err := hex.DecodeString(digits); err == nil && len(sum) == 4 {
			return sum
		}
	}
	sum := sha256.Sum256([]byte(address))
	return sum[:4]
}

// isQuiet tells whether a note fits into the short form.
func (n *note) isQuiet() bool {
	return n.Upstream != "" && n.Expect == 0 && n.Wish == nil && !n.troubled()
}

// marshal gives nil for a note that says nothing.
func (n *note) marshal() ([]byte, error) {
	switch {
	case n.empty():
		return nil, nil
	case !n.isQuiet():
		return json.Marshal(n)
	}
	b := append([]byte{quietNote}, sumOf(n.Upstream)...)
	asked := int64(0)
	if !n.Asked.IsZero() {
		asked = n.Asked.UnixMicro()
	}
	b = binary.AppendVarint(b, asked)
	if tag, ok := packTag(n.Validators.ETag); ok {
		b = append(append(b, 1), tag...)
	} else {
		b = appendText(append(b, 0), n.Validators.ETag)
	}
	return appendText(b, n.Validators.LastModified), nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// packTag gives the bytes of an ETag as PyPI has it: the base64 of an MD5.
func packTag(tag string) ([]byte, bool) {
	if len(tag) != 24 || tag[0] != '"' || tag[23] != '"' {
		return nil, false
	}
	raw, err := base64.RawStdEncoding.Strict().DecodeString(tag[1:23])
	return raw, err == nil
}

var errQuiet = errors.New("a note is cut short")

// unmarshal reads what marshal wrote. own is the address of the upstream that is
// asked now.
func (n *note) unmarshal(raw []byte, own string) error {
	if len(raw) == 0 || raw[0] != quietNote {
		return json.Unmarshal(raw, n)
	}
	raw = raw[1:]
	if len(raw) < 4 {
		return errQuiet
	}
	n.Upstream = own
	if !bytes.Equal(raw[:4], sumOf(own)) {
		n.Upstream = otherIndex + hex.EncodeToString(raw[:4])
	}
	asked, k := binary.Varint(raw[4:])
	if k <= 0 || len(raw) == 4+k {
		return errQuiet
	}
	if asked != 0 {
		n.Asked = time.UnixMicro(asked).UTC()
	}
	packed := raw[4+k] == 1
	raw = raw[5+k:]
	var v upstream.Validators
	var ok bool
	if packed {
		if len(raw) < 16 {
			return errQuiet
		}
		v.ETag, raw = `"`+base64.RawStdEncoding.EncodeToString(raw[:16])+`"`, raw[16:]
	} else if v.ETag, raw, ok = cutText(raw); !ok {
		return errQuiet
	}
	if v.LastModified, _, ok = cutText(raw); !ok {
		return errQuiet
	}
	n.Validators = v
	return nil
}

func cutText(raw []byte) (s string, rest []byte, ok bool) {
	n, k := binary.Uvarint(raw)
	if k <= 0 || n > uint64(len(raw)-k) {
		return "", nil, false
	}
	return string(raw[k : k+int(n)]), raw[k+int(n):], true
}
