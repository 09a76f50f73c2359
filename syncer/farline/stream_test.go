package farline

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// piece makes a segment with n bytes of a stream, beginning at a sequence number.
func piece(sequence uint32, n int, flags byte) []byte {
	p := reset(netip.MustParseAddrPort("10.99.0.2:80"), netip.MustParseAddrPort("10.99.0.1:4000"), sequence, 0)
	p = append(p, make([]byte, n)...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[ipHeader+13] = flags
	return p
}

func TestStreamsCountWhatComesAgain(t *testing.T) {
	first := uint32(0xffff_fff0) // the numbers wrap soon
	s := streams{}
	for i, step := range []struct {
		why            string
		packet         []byte
		payload, again int64
	}{
		{"it begins", piece(first-1, 0, flagSYN), 0, 0},
		{"in order", piece(first, 100, flagACK), 100, 0},
		{"the same again", piece(first, 100, flagACK), 100, 100},
		{"half of it is new", piece(first+50, 100, flagACK), 100, 50},
		{"a hole before it", piece(first+250, 100, flagACK), 100, 0},
		{"the hole is filled: new", piece(first+150, 100, flagACK), 100, 0},
		{"over all of it", piece(first, 400, flagACK), 400, 350},
		{"an acknowledgement", piece(first+400, 0, flagACK), 0, 0},
		{"another hole", piece(first+600, 10, flagACK), 10, 0},
		{"and another", piece(first+700, 10, flagACK), 10, 0},
		{"over both, with new bytes around", piece(first+500, 300, flagACK), 300, 20},
	} {
		if payload, again := s.arrive(step.packet); payload != step.payload || again != step.again {
			t.Errorf("%d, %s: %d bytes, %d of them again; want %d and %d", i, step.why, payload, again, step.payload, step.again)
		}
	}
	s.arrive(piece(first+900, 30, flagACK))
	if n := s.adrift(); n != 330 {
		t.Errorf("%d bytes behind gaps, want 330", n)
	}
	if payload, _ := s.arrive([]byte("no packet")); payload != 0 {
		t.Error("bytes of a stream in what is no packet")
	}
	// The same ports once more, later: a new stream.
	s.arrive(piece(7, 0, flagSYN))
	if payload, again := s.arrive(piece(8, 100, flagACK)); payload != 100 || again != 0 {
		t.Errorf("a new connection from the same port: %d bytes, %d of them again", payload, again)
	}
}
