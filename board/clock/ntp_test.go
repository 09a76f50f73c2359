package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// serveNTP answers questions on a port of the loopback until the test ends. make gives
// the answers to one question.
func serveNTP(t *testing.T, make func(question []byte) [][]byte) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := newDone()
	go func() {
		defer done.close()
		var p [512]byte
		for {
			n, from, err := conn.ReadFromUDP(p[:])
			if err != nil {
				return
			}
			for _, answer := range make(append([]byte{}, p[:n]...)) {
				_, _ = conn.WriteToUDP(answer, from) // who has gone needs no answer
			}
		}
	}()
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		done.wait()
	})
	return conn.LocalAddr().String()
}

type done chan struct{}

func newDone() done   { return make(chan struct{}) }
func (d done) close() { close(d) }
func (d done) wait()  { <-d }
func stamp(t time.Time) []byte {
	var b [8]byte
	binary.BigEndian.PutUint32(b[:], uint32(t.Unix()-firstEra))
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
	return b[:]
}

// answer is a right one, of a server that is ahead by an offset.
func answer(question []byte, ahead time.Duration) []byte {
	p := make([]byte, packetSize)
	p[0], p[1] = 4<<3|4, 2
	copy(p[24:32], question[40:48])
	now := time.Now().Add(ahead)
	copy(p[32:40], stamp(now))
	copy(p[40:48], stamp(now))
	return p
}

func TestQueryNTP(t *testing.T) {
	const ahead = 50 * 24 * time.Hour
	change := func(edit func(p []byte)) func([]byte) [][]byte {
		return func(q []byte) [][]byte {
			p := answer(q, ahead)
			edit(p)
			return [][]byte{p}
		}
	}
	for _, c := range []struct {
		name   string
		answer func([]byte) [][]byte
		want   string // part of the error; "": it is taken
	}{
		{"right", change(func([]byte) {}), ""},
		{"behind forged ones", func(q []byte) [][]byte {
			forged := answer(q, time.Hour)
			forged[24] ^= 1
			return [][]byte{forged, {1, 2, 3}, answer(q, ahead)}
		}, ""},
		{"kiss of death", change(func(p []byte) { p[1] = 0; copy(p[12:], "RATE") }), "RATE"},
		{"stratum 16", change(func(p []byte) { p[1] = 16 }), "does not know the time"},
		{"not synchronised", change(func(p []byte) { p[0] |= 3 << 6 }), "does not know the time"},
		{"wrong origin", change(func(p []byte) { p[30]++ }), "another question"},
		{"a question", change(func(p []byte) { p[0] = 4<<3 | 3 }), "mode 3"},
		{"no time", change(func(p []byte) { clear(p[40:48]) }), "states no time"},
		{"answered before it was asked", change(func(p []byte) { copy(p[32:40], stamp(time.Now().Add(ahead+time.Hour))) }), "states no time"},
		{"took longer than it can have", change(func(p []byte) { copy(p[40:48], stamp(time.Now().Add(ahead+time.Hour))) }), "took longer"},
		{"far from a real clock", change(func(p []byte) { p[9] = 9 }), "off by"},
		{"short", func(q []byte) [][]byte { return [][]byte{answer(q, 0)[:47]} }, "47 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			patience := 10 * time.Second
			if strings.Contains(c.want, "question") || strings.Contains(c.want, "bytes") {
				patience = 300 * time.Millisecond // it waits for a better one, which does not come
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := QueryNTP(ctx, serveNTP(t, c.answer))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%+v, %v", s, err)
				}
				return
			}
			off := s.at(time.Now()).Sub(time.Now().Add(ahead))
			if s.From.String() != "127.0.0.1" {
				t.Errorf("it came from %v", s.From)
			}
			if err != nil || off > s.Within+time.Second || off < -s.Within-time.Second {
				t.Errorf("off by %v, %+v, %v", off, s, err)
			}
		})
	}
}

// TestEra reads timestamps before and after the counter begins anew in 2036.
func TestEra(t *testing.T) {
	for _, want := range []time.Time{truth, time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC), time.Date(2036, 2, 7, 6, 28, 17, 0, time.UTC), time.Date(2046, 1, 1, 0, 0, 0, 5e8, time.UTC)} {
		if got := ntpTime(stamp(want)); got.Sub(want).Abs() > time.Microsecond {
			t.Errorf("%v for %v", got, want)
		}
	}
}

// TestKiss: who does not want to be asked is not asked again for a day, and then once more:
// by then a name of a pool is another server, and a box that runs for years would have
// nobody left.
func TestKiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := Servers{List: func() []string { return []string{"kisses"} }, Query: func(context.Context, string) (Sample, error) {
			asked++
			return Sample{}, &KissError{"RATE"}
		}}
		for day := 1; day <= 2; day++ {
			for range 3 {
				if got := s.Ask(t.Context()); len(got) != 0 {
					t.Errorf("%+v", got)
				}
			}
			if asked != day {
				t.Errorf("on day %d it was asked %d times", day, asked)
			}
			time.Sleep(kissedFor)
		}
	})
}

func TestQueryDate(t *testing.T) {
	at := func(ahead time.Duration, header ...string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(http.StatusMovedPermanently)
		}))
		t.Cleanup(s.Close)
		return s
	}
	moved := at(time.Hour, "Location", "http://127.0.0.1:1/")
	s, err := QueryDate(t.Context(), moved.Client(), moved.URL)
	if off := s.at(time.Now()).Sub(time.Now().Add(time.Hour)); err != nil || off.Abs() > s.Within {
		t.Errorf("off by %v, within %v, %v", off, s.Within, err)
	}
	for _, bad := range []*httptest.Server{at(0, "Age", "77"), at(0, "Date", "yesterday")} {
		if s, err := QueryDate(t.Context(), bad.Client(), bad.URL); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	got := AskDates(t.Context(), http.DefaultClient, []string{moved.URL, at(time.Hour).URL, at(30 * time.Hour).URL, "http://127.0.0.1:1/"}, nil)
	now, err := Agree(got, time.Now(), 2, slack)
	if len(got) != 3 || err != nil || now.Sub(time.Now().Add(time.Hour)).Abs() > 3*time.Second {
		t.Errorf("%d answers, %v, %v", len(got), now, err)
	}
}

func FuzzAnswer(f *testing.F) {
	q := make([]byte, packetSize)
	f.Add(answer(q, 0))
	f.Add(answer(q, 900*24*time.Hour))
	f.Add([]byte{})
	sent := time.Now()
	f.Fuzz(func(t *testing.T, p []byte) {
		var kiss *KissError
		s, err := parseAnswer(p, [8]byte{}, sent, sent.Add(time.Second))
		if err == nil && (s.Time.IsZero() || s.Within < 0 || s.Within > maxRootDistance+time.Second) {
			t.Errorf("%+v", s)
		}
		if errors.As(err, &kiss) && len(kiss.Code) > 4 {
			t.Errorf("%q", kiss.Code)
		}
	})
}
