package patchwork

import (
	"hash/crc32"
	"math/bits"
)

// A CRC is linear: that of two texts in a row is that of the first, moved on by
// the length of the second as if zeros followed, plus that of the second. To move
// on by one zero bit is a matrix over GF(2), one column for each bit of the CRC;
// moving on by 2^n bits is that matrix squared n times.

type matrix [32]uint32

func (m *matrix) times(v uint32) uint32 {
	var sum uint32
	for ; v != 0; v &= v - 1 {
		sum ^= m[bits.TrailingZeros32(v)]
	}
	return sum
}

func (m *matrix) squared() *matrix {
	var out matrix
	for i := range m {
		out[i] = m.times(m[i])
	}
	return &out
}

// oneZeroBit moves a CRC on by one bit.
func oneZeroBit() *matrix {
	m := matrix{crc32.IEEE}
	for i := 1; i < 32; i++ {
		m[i] = 1 << (i - 1)
	}
	return &m
}

// combine gives the CRC-32 (IEEE) of two texts in a row from that of each and the
// length of the second in bytes.
func combine(first, second uint32, length int64) uint32 {
	m := oneZeroBit().squared().squared().squared() // one zero byte
	for ; length > 0; length >>= 1 {
		if length&1 == 1 {
			first = m.times(first)
		}
		m = m.squared()
	}
	return first ^ second
}
