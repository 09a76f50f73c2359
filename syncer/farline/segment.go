package farline

import (
	"encoding/binary"
	"net/netip"
)

// segment is a packet of TCP over IPv4 (RFC 791, RFC 9293).
type segment struct {
	ip  []byte // whole packet
	tcp []byte // behind the header of IP
}

// flow names a connection, the same for both ways.
type flow [2]netip.AddrPort

const (
	protocolTCP = 6

	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10

	ipHeader  = 20 // bytes, without options
	tcpHeader = 20
)

// parse reads a packet; false where it is no whole segment of TCP.
func parse(packet []byte) (segment, bool) {
	if len(packet) < ipHeader || packet[0]>>4 != 4 || packet[9] != protocolTCP {
		return segment{}, false
	}
	header := int(packet[0]&0xf) * 4
	fragment := binary.BigEndian.Uint16(packet[6:])&0x1fff != 0
	if fragment || header < ipHeader || len(packet) < header+tcpHeader {
		return segment{}, false
	}
	return segment{ip: packet, tcp: packet[header:]}, true
}

func (s segment) source() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.ip[12:16])), binary.BigEndian.Uint16(s.tcp))
}

func (s segment) target() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.ip[16:20])), binary.BigEndian.Uint16(s.tcp[2:]))
}

func (s segment) flow() flow {
	a, b := s.source(), s.target()
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return flow{a, b}
}

func (s segment) flags() byte { return s.tcp[13] }

// begins tells whether it opens a connection.
func (s segment) begins() bool { return s.flags()&flagSYN != 0 }

// resets are an RST in its place, and one to its sender. Each has the sequence
// number that its receiver expects next, or it would be ignored (RFC 5961).
func (s segment) resets() (forth, back []byte) {
	sequence := binary.BigEndian.Uint32(s.tcp[4:])
	acknowledged := binary.BigEndian.Uint32(s.tcp[8:])
	forth = reset(s.source(), s.target(), sequence, acknowledged)
	back = reset(s.target(), s.source(), acknowledged, sequence)
	return forth, back
}

// reset makes a packet with an RST.
func reset(from, to netip.AddrPort, sequence, acknowledged uint32) []byte {
	p := make([]byte, ipHeader+tcpHeader)
	p[0] = 4<<4 | ipHeader/4
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[8], p[9] = 64, protocolTCP
	source, target := from.Addr().As4(), to.Addr().As4()
	copy(p[12:], source[:])
	copy(p[16:], target[:])
	binary.BigEndian.PutUint16(p[10:], checksum(0, p[:ipHeader]))
	t := p[ipHeader:]
	binary.BigEndian.PutUint16(t, from.Port())
	binary.BigEndian.PutUint16(t[2:], to.Port())
	binary.BigEndian.PutUint32(t[4:], sequence)
	binary.BigEndian.PutUint32(t[8:], acknowledged)
	t[12], t[13] = tcpHeader/4<<4, flagRST|flagACK
	// The pseudo-header: addresses, protocol, length.
	binary.BigEndian.PutUint16(t[16:], checksum(protocolTCP+tcpHeader+sum(p[12:20]), t))
	return p
}

// checksum is that of the internet (RFC 1071), of b and of what was summed up before.
func checksum(before uint32, b []byte) uint16 {
	n := before + sum(b)
	for n>>16 != 0 {
		n = n&0xffff + n>>16
	}
	return ^uint16(n)
}

// sum adds up 16-bit words; b has an even length.
func sum(b []byte) (n uint32) {
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return n
}
