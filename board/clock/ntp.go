package clock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// NTPPort is where time servers listen.
const NTPPort = "123"

// packetSize is the size of an NTP packet without extensions, in bytes (RFC 5905).
const packetSize = 48

// maxRootDistance is how far from a real clock a server may say that it is.
const maxRootDistance = 2 * time.Second

// KissError is a server's word that it does not want to be asked (a kiss of death,
// RFC 5905 section 7.4).
type KissError struct{ Code string }

func (e *KissError) Error() string { return "the time server does not want to be asked: " + e.Code }

// QueryNTP asks a time server once (SNTP, RFC 4330). The server is a host or host:port.
// It gives up when ctx ends. Errors: a *KissError; any other is an answer that cannot
// be used, or none.
func QueryNTP(ctx context.Context, server string) (Sample, error) {
	address := server
	if _, _, err := net.SplitHostPort(server); err != nil {
		address = net.JoinHostPort(server, NTPPort)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return Sample{}, fmt.Errorf("ask %s for the time: %w", server, err)
	}
	defer func() { _ = conn.Close() }() // it was only for this question
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s, err := exchange(conn)
	s.Host = server
	if err != nil {
		return s, fmt.Errorf("ask %s for the time: %w", server, err)
	}
	return s, nil
}

// exchange sends a question and waits for its answer. The socket is connected, so the
// kernel passes on nothing from other addresses; what is no answer to this question
// is passed over, for it may be forged.
func exchange(conn net.Conn) (Sample, error) {
	// A random transmit timestamp proves that an answer is one to this question, and
	// tells nobody what our clock shows.
	var question [packetSize]byte
	question[0] = 4<<3 | 3            // version 4, client
	_, _ = rand.Read(question[40:48]) // it never fails
	sent := time.Now()
	if _, err := conn.Write(question[:]); err != nil {
		return Sample{}, err
	}
	var odd error
	for range 8 {
		var answer [512]byte
		n, err := conn.Read(answer[:])
		if err != nil {
			return Sample{}, errors.Join(err, odd)
		}
		now := time.Now()
		s, err := parseAnswer(answer[:n], [8]byte(question[40:48]), sent, now)
		if from, ok := conn.RemoteAddr().(*net.UDPAddr); ok {
			s.From = from.AddrPort().Addr().Unmap()
		}
		if err == nil || !errors.Is(err, errForeign) {
			return s, err
		}
		odd = err
	}
	return Sample{}, odd
}

var errForeign = errors.New("an answer to another question came")

// parseAnswer reads a packet that came at the moment now to a question that was sent
// with a nonce.
func parseAnswer(p []byte, nonce [8]byte, sent, now time.Time) (Sample, error) {
	if len(p) < packetSize {
		return Sample{}, fmt.Errorf("%w: it has %d bytes", errForeign, len(p))
	}
	leap, version, mode, stratum := p[0]>>6, p[0]>>3&7, p[0]&7, p[1]
	received, transmitted := ntpTime(p[32:40]), ntpTime(p[40:48])
	root := shortTime(p[4:8])/2 + shortTime(p[8:12])
	way := now.Sub(sent) - transmitted.Sub(received)
	switch {
	case [8]byte(p[24:32]) != nonce:
		return Sample{}, errForeign
	case mode != 4 || version < 3 || version > 4:
		return Sample{}, fmt.Errorf("the answer is of mode %d and version %d", mode, version)
	case stratum == 0:
		return Sample{}, &KissError{strings.Map(printable, string(p[12:16]))}
	case leap == 3 || stratum > 15:
		return Sample{}, errors.New("the time server does not know the time itself")
	case transmitted.IsZero() || received.IsZero() || transmitted.Before(received):
		return Sample{}, errors.New("the answer states no time, or one before that of the question")
	case root > maxRootDistance:
		return Sample{}, fmt.Errorf("the time server may be off by %s", root)
	case way < 0:
		return Sample{}, errors.New("the time server says that it took longer than the answer did")
	}
	return Sample{Time: transmitted.Add(way / 2), At: now, Within: way/2 + root}, nil
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// The eras of NTP's timestamps: seconds since 1900 in 32 bits, which begin anew in
// February 2036. What seems to lie before 2024 is of the era that follows.
var (
	firstEra = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	pivot    = uint32(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - firstEra)
)

// ntpTime reads a timestamp of 64 bits; the zero Time for none.
func ntpTime(b []byte) time.Time {
	seconds, fraction := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if seconds == 0 && fraction == 0 {
		return time.Time{}
	}
	whole := int64(seconds)
	if seconds < pivot {
		whole += 1 << 32
	}
	return time.Unix(firstEra+whole, int64(uint64(fraction)*1e9>>32)).UTC()
}

// shortTime reads a duration of 32 bits.
func shortTime(b []byte) time.Duration {
	return time.Duration(uint64(binary.BigEndian.Uint32(b)) * 1e9 >> 16)
}
