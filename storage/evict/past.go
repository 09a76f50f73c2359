package evict

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"sort"
)

// A table outlives a restart as a Past: how often each file was used, and how far
// its rank is above the level. Its form: a line of text; of each file, in order of
// the key, 8 bytes key, 4 bytes uses and 4 bytes height, the last two IEEE 754, all
// big-endian; 4 bytes CRC-32C of all before.

const (
	pastHead   = "cheeseboard uses 1\n"
	pastRecord = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrPast says that bytes are no Past.
var ErrPast = errors.New("the record of uses cannot be read")

// Past is what was known of files at an earlier time. The zero value knows none.
type Past struct{ records []byte }

// ParsePast reads what AppendPast gave. It keeps raw.
func ParsePast(raw []byte) (Past, error) {
	body := len(raw) - crc32.Size
	n := body - len(pastHead)
	if n < 0 || n%pastRecord != 0 || string(raw[:len(pastHead)]) != pastHead ||
		crc32.Checksum(raw[:body], castagnoli) != binary.BigEndian.Uint32(raw[body:]) {
		return Past{}, ErrPast
	}
	return Past{raw[len(pastHead):body]}, nil
}

// AppendPast appends what is to be known later of the files of a table: 16 bytes
// for each, and 23.
func (t *Table) AppendPast(b []byte) []byte {
	begin := len(b)
	order := slices.Clone(t.heap)
	slices.SortFunc(order, func(a, b node) int { return cmp.Compare(a.key, b.key) })
	b = append(b, pastHead...)
	for _, n := range order {
		b = binary.BigEndian.AppendUint64(b, uint64(n.key))
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(n.uses))
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(n.rank-t.level)))
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[begin:], castagnoli))
}

// AddAgain puts a file in that was here before, with what the past knows of it.
func (t *Table) AddAgain(key Key, size int64, past Past) {
	if t.Has(key) {
		return
	}
	n := node{key: key, size: size, uses: 1, rank: t.level + worth(1, size)}
	count := len(past.records) / pastRecord
	i := sort.Search(count, func(i int) bool {
		return Key(binary.BigEndian.Uint64(past.records[i*pastRecord:])) >= key
	})
	if i < count {
		r := past.records[i*pastRecord:]
		uses := math.Float32frombits(binary.BigEndian.Uint32(r[8:]))
		height := float64(math.Float32frombits(binary.BigEndian.Uint32(r[12:])))
		// A checksum does not prove that somebody sensible wrote it.
		if Key(binary.BigEndian.Uint64(r)) == key && uses >= 1 && uses < 1<<24 && math.Abs(height) < 1e12 {
			n.uses, n.rank = uses, t.level+height
		}
	}
	t.push(n)
}
