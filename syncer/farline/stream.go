package farline

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// streams tell what TCP itself sent twice on one way. A sender that is kept waiting,
// by a busy machine too, repeats what has arrived long ago; that says nothing of who
// reads the stream.
type streams map[[2]netip.AddrPort]*stream

// stream is the bytes of one connection that have arrived, one way.
type stream struct {
	base uint32 // the sequence number that offsets count from
	have []span // in order, apart from one another
}

// span is bytes of a stream, by their offsets; less than 4 GiB of it are followed.
type span struct{ from, to uint32 }

// arrive counts a packet: the bytes of its stream in it, and how many of these had
// arrived before.
func (s streams) arrive(packet []byte) (payload, again int64) {
	g, ok := parse(packet)
	if !ok {
		return 0, 0
	}
	key := [2]netip.AddrPort{g.source(), g.target()}
	sequence, n := g.sequence(), uint32(g.payload())
	if g.begins() {
		s[key] = &stream{base: sequence + 1}
	}
	if n == 0 {
		return 0, 0
	}
	t := s[key]
	if t == nil { // it began before anybody looked
		t = &stream{base: sequence}
		s[key] = t
	}
	from := sequence - t.base
	return int64(n), int64(n) - int64(t.add(span{from, from + n}))
}

// adrift counts the bytes behind gaps. Of a port that was used again only the last
// connection counts.
func (s streams) adrift() (n int64) {
	for _, t := range s {
		for _, h := range t.have {
			if h.from > 0 {
				n += int64(h.to - h.from)
			}
		}
	}
	return n
}

// add takes a span in and tells how many bytes of it are new.
func (t *stream) add(s span) (fresh uint32) {
	fresh = s.to - s.from
	i, _ := slices.BinarySearchFunc(t.have, s.from, func(h span, from uint32) int {
		if h.to < from {
			return -1
		}
		return 1
	})
	j := i // of those that touch it, the one behind the last
	for ; j < len(t.have) && t.have[j].from <= s.to; j++ {
		h := t.have[j]
		if low, high := max(h.from, s.from), min(h.to, s.to); low < high {
			fresh -= high - low
		}
	}
	if i < j {
		s = span{min(s.from, t.have[i].from), max(s.to, t.have[j-1].to)}
	}
	t.have = slices.Replace(t.have, i, j, s)
	return fresh
}

func (s segment) sequence() uint32 { return binary.BigEndian.Uint32(s.tcp[4:]) }

// payload is how many bytes of the stream a segment holds.
func (s segment) payload() int {
	total := min(int(binary.BigEndian.Uint16(s.ip[2:])), len(s.ip))
	return max(0, total-(len(s.ip)-len(s.tcp))-int(s.tcp[12]>>4)*4)
}
