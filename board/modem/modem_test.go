package modem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a modem: it answers commands by a table, in pieces, or not at all.
type fake struct {
	mu      sync.Mutex
	answers map[string]string
	pending []byte
	silent  bool
	opened  int
	closed  int
}

func (f *fake) open() (Port, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return f, nil
}

func (f *fake) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	command := strings.TrimSuffix(string(b), "\r")
	answer, ok := f.answers[command]
	if !ok {
		answer = "\r\nERROR\r\n"
	}
	if !f.silent {
		f.pending = append(f.pending, command+"\r"+answer...) // it repeats what it hears
	}
	return len(b), nil
}

func (f *fake) Read(b []byte) (int, error) {
	f.mu.Lock()
	n := copy(b[:min(len(b), 5)], f.pending)
	f.pending = f.pending[n:]
	f.mu.Unlock()
	if n == 0 {
		time.Sleep(time.Second)
	}
	return n, nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fake) set(command, answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[command] = answer
}

func newFake() *fake {
	return &fake{answers: map[string]string{
		"ATE0": "\r\nOK\r\n", "AT+CSQ": "\r\n+CSQ: 18,99\r\n\r\nOK\r\n", "AT+CREG?": "\r\n+CREG: 1\r\n+CREG: 0,1\r\n\r\nOK\r\n",
		"AT+CEREG?": "\r\n+CEREG: 2,1,\"1A2B\",\"01234567\",7\r\n\r\nOK\r\n", "AT+COPS?": "\r\n+COPS: 0,0,\"Käse \x1b[2JMobil\",7\r\n\r\nOK\r\n",
	}}
}

func say(r Reading) string {
	signal, known := r.Signal.Get()
	operator, also := r.Operator.Get()
	return fmt.Sprintf("%d %t %s%s %t %s", signal, known, operator, r.Operator.Why(), also, r.Registration)
}

// TestReading: what a modem tells, also in pieces and between what it says unasked.
func TestReading(t *testing.T) {
	for name, c := range map[string]struct {
		command, answer, want string
	}{
		"all well":             {"AT", "", "-77 true Kse [2JMobil true at home"},
		"no signal":            {"AT+CSQ", "\r\n+CSQ: 99,99\r\n\r\nOK\r\n", "0 false Kse [2JMobil true at home"},
		"the weakest":          {"AT+CSQ", "\r\n+CSQ: 0,99\r\n\r\nOK\r\n", "-113 true Kse [2JMobil true at home"},
		"the strongest":        {"AT+CSQ", "\r\n+CSQ: 31,0\r\n\r\nOK\r\n", "-51 true Kse [2JMobil true at home"},
		"nonsense":             {"AT+CSQ", "\r\n+CSQ: 77,x\r\n\r\nOK\r\n", "0 false Kse [2JMobil true at home"},
		"an error":             {"AT+COPS?", "\r\n+CME ERROR: 10\r\n", "-77 true the modem is at no network false at home"},
		"no operator":          {"AT+COPS?", "\r\n+COPS: 0\r\n\r\nOK\r\n", "-77 true the modem is at no network false at home"},
		"packets roam":         {"AT+CREG?", "\r\n+CREG: 0,0\r\n\r\nOK\r\n", "-77 true Kse [2JMobil true at home"},
		"it does not know LTE": {"AT+CEREG?", "\r\nERROR\r\n", "-77 true Kse [2JMobil true at home"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.set(c.command, c.answer)
			r, err := New(Options{Open: f.open}).read(t.Context())
			if got := say(r); err != nil || got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
			if f.opened != 1 || f.closed != 1 {
				t.Errorf("the port was opened %d times and closed %d times", f.opened, f.closed)
			}
		})
	}
	for stat, want := range map[string]Registration{"0": UnknownNetwork, "1": Home, "2": Searching, "3": Denied, "4": UnknownNetwork, "5": Roaming} {
		f := newFake()
		f.set("AT+CREG?", "\r\n+CREG: 0,"+stat+"\r\n\r\nOK\r\n")
		f.set("AT+CEREG?", "\r\n+CEREG: 0,"+stat+"\r\n\r\nOK\r\n")
		if r, err := New(Options{Open: f.open}).read(t.Context()); err != nil || r.Registration != want {
			t.Errorf("%s is %s (%v), want %s", stat, r.Registration, err, want)
		}
	}
}

// TestSilence: a modem that does not answer is given up after its time, and what it
// once said is not told for ever.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		g := New(Options{Open: f.open})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		synctest.Wait()
		if r := g.Latest(); r.Registration != Home {
			t.Errorf("%s", say(r))
		}
		f.mu.Lock()
		f.silent, f.pending = true, nil
		f.mu.Unlock()
		time.Sleep(DefaultEvery + 2*answerTime)
		if r := g.Latest(); r.Registration != UnknownNetwork || !strings.Contains(r.Signal.Why(), ErrSilent.Error()) {
			t.Errorf("of a silent modem: %s, %s", say(r), r.Signal.Why())
		}
		f.mu.Lock()
		f.silent = false
		f.mu.Unlock()
		time.Sleep(DefaultEvery)
		if r := g.Latest(); r.Registration != Home {
			t.Errorf("it answers again: %s", say(r))
		}
		cancel()
		running.Wait()
		if f.opened != f.closed {
			t.Errorf("the port was opened %d times and closed %d times", f.opened, f.closed)
		}
	})
}

// TestGone: a port that is not there is tried again.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var there atomic.Bool
		g := New(Options{Open: func() (Port, error) {
			if !there.Load() {
				return nil, errors.New("no such port")
			}
			return f.open()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { g.Run(ctx) })
		synctest.Wait()
		if r := g.Latest(); r.Signal.Why() != "no such port" {
			t.Errorf("%s", r.Signal.Why())
		}
		there.Store(true)
		time.Sleep(DefaultEvery + time.Second)
		if r := g.Latest(); r.Registration != Home {
			t.Errorf("%s", say(r))
		}
		cancel()
		running.Wait()
	})
}

// TestUsed counts over boots, months, and counters that begin anew.
func TestUsed(t *testing.T) {
	at := func(month time.Month) time.Time { return time.Date(2026, month, 7, 0, 0, 0, 0, time.UTC) }
	var u Used
	for i, c := range []struct {
		now   time.Time
		boot  string
		shown int64
		want  int64
	}{
		{at(1), "a", 500, 0}, // before anybody looked
		{at(1), "a", 800, 300},
		{at(1), "a", 100, 400}, // the interface is new
		{at(1), "b", 700, 1100},
		{at(2), "b", 900, 200},
		{at(3), "c", 50, 50},
		{at(3), "c", 50, 50},
	} {
		if u = u.Add(c.now, c.boot, c.shown); u.Bytes != c.want {
			t.Errorf("step %d: %d bytes, want %d", i, u.Bytes, c.want)
		}
	}
}

func TestCounters(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "sys/class/net/wwan0/statistics")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("rx_bytes", "7000000000\n")
	if _, err := Counters(root, "wwan0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half of the counters: %v", err)
	}
	write("tx_bytes", "5\n")
	if n, err := Counters(root, "wwan0"); err != nil || n != 7_000_000_005 {
		t.Errorf("%d bytes (%v)", n, err)
	}
	write("tx_bytes", "-5\n")
	if _, err := Counters(root, "wwan0"); err == nil {
		t.Error("nonsense is taken")
	}
}

// FuzzAnswer: whatever a modem says, a reading comes of it, or an error.
func FuzzAnswer(f *testing.F) {
	f.Add("\r\n+CSQ: 18,99\r\n\r\nOK\r\n")
	f.Add("+CREG: 0,5\rOK\r+COPS: ,,\"")
	f.Fuzz(func(t *testing.T, said string) {
		lines := strings.FieldsFunc(said, func(r rune) bool { return r == '\r' || r == '\n' })
		if dBm, known := parseSignal(lines).Get(); known && (dBm < -113 || dBm > -51) {
			t.Errorf("%d dBm", dBm)
		}
		if name, known := parseOperator(lines).Get(); known && strings.ContainsAny(name, "\x1b\r\n\x00") {
			t.Errorf("%q", name)
		}
		_ = either(parseRegistration(lines, "+CREG"), parseRegistration(lines, "+CEREG")).String()
	})
}
