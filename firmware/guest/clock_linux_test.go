package guest_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
)

// lateSummer is what the time server of the guest believes that it is.
var lateSummer = time.Date(2031, 9, 1, 12, 0, 0, 0, time.UTC)

// ntpEpoch is what NTP counts from.
var ntpEpoch = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// serveTime answers NTP (RFC 5905) with a time that goes on from lateSummer, until
// the socket is closed.
func serveTime(socket net.PacketConn) {
	began := time.Now()
	var b [48]byte
	for {
		n, from, err := socket.ReadFrom(b[:])
		if err != nil {
			return
		}
		if n < len(b) {
			continue
		}
		copy(b[24:32], b[40:48])        // what it sent is the origin
		b[0], b[1], b[2] = 0x24, 1, 6   // version 4, server, stratum 1
		copy(b[4:16], make([]byte, 12)) // no delay, no dispersion
		copy(b[12:16], "LOCL")          // an uncalibrated local clock
		now := lateSummer.Add(time.Since(began)).Sub(ntpEpoch)
		stamp := uint64(now/time.Second)<<32 | uint64(now%time.Second)<<32/uint64(time.Second)
		for _, at := range []int{16, 32, 40} {
			binary.BigEndian.PutUint64(b[at:], stamp)
		}
		if _, err := socket.WriteTo(b[:], from); err != nil {
			return
		}
	}
}

// clockOf is what the box says of its clock.
func clockOf() (severity, summary string, err error) {
	resp, err := http.Get("http://127.0.0.1/healthz")
	if err != nil {
		return "", "", err
	}
	var verdict struct {
		Probes []struct{ Name, Severity, Summary string }
	}
	if err := errors.Join(json.NewDecoder(resp.Body).Decode(&verdict), resp.Body.Close()); err != nil {
		return "", "", err
	}
	for _, p := range verdict.Probes {
		if p.Name == "clock" {
			return p.Severity, p.Summary, nil
		}
	}
	return "", "", errors.New("the box says nothing of its clock")
}

// playClock starts a box in 1970, has a time server appear, and looks at the clock of
// the machine.
func playClock(s *guest.Stage) error {
	if now := time.Now(); now.Year() > 1970 {
		return fmt.Errorf("the machine begins at %s", now)
	}
	began := time.Now()
	b, err := startBox(`clock.servers=["127.0.0.1:1123","127.0.0.2:1123"]`, `clock.web-servers=[]`)
	if err != nil {
		return err
	}
	s.Report("serving after", time.Since(began))
	severity, summary, err := clockOf()
	if err != nil {
		return err
	}
	s.Report("in 1970", []string{severity, summary})
	socket, err := net.ListenPacket("udp4", "127.0.0.1:1123")
	if err != nil {
		return err
	}
	// One alone is not believed so many years after the program was made.
	second, err := net.ListenPacket("udp4", "127.0.0.2:1123")
	if err != nil {
		return err
	}
	go serveTime(socket)
	go serveTime(second)
	for range 1200 {
		if severity, summary, err = clockOf(); err != nil || severity == "ok" {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	s.Report("then", []string{severity, summary})
	s.Report("time", time.Now())
	return errors.Join(err, b.end(), socket.Close(), second.Close())
}

// TestClock boots a machine in 1970: it serves, says that its clock is wrong, and sets
// the machine's clock when a time server can be asked.
func TestClock(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "clock", guest.Machine{
		Files: buildProgram(t), Memory: 512, Devices: []string{"-rtc", "base=1970-01-01T00:05:00"},
	})
	var after time.Duration
	var said []string
	var now time.Time
	g.Next("serving after", 10*time.Minute, &after)
	g.Next("in 1970", time.Minute, &said)
	t.Logf("it serves after %s; in 1970 it says %q", after, said)
	if said[0] != "attention" {
		t.Errorf("in 1970 its clock is %q", said)
	}
	g.Next("then", 10*time.Minute, &said)
	g.Next("time", time.Minute, &now)
	t.Logf("then it says %q, and it is %s", said, now)
	if late := now.Sub(lateSummer); said[0] != "ok" || late < 0 || late > 10*time.Minute {
		t.Errorf("a time server said %s; the clock is %q at %s", lateSummer, said, now)
	}
	g.Next("ended", time.Minute, nil)
}
