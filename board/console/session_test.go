package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
)

// box is what the tests' console shows and does.
type box struct {
	pin    string
	wrong  int
	synced int
	set    time.Time
	off    int
	names  []string
	now    time.Time

	stick    bool
	imported int
}

func newBox() *box {
	return &box{pin: "open-sesame-1", now: time.Unix(1_795_400_000, 0), names: []string{"numpy", "evil\x1b[2J\x07name", "كعكة\u202etxt"}}
}

func (b *box) deps() Deps {
	return Deps{
		Status: func() ([]string, any, error) {
			return []string{"ok: all well.", "14 files of 3 projects are here."}, map[string]any{"files": 14, "evil": b.names[1] + "é😀"}, nil
		},
		Addresses: func() []string { return []string{"http://192.168.1.5:8080/"} },
		Wishes:    func() ([]string, error) { return b.names, nil },
		Logs:      func() []string { return []string{"12:00:01 INFO stopping reason=\"\x1b]0;title\x07\""} },
		Sync:      func() error { b.synced++; return nil },
		Import: func() error {
			if !b.stick {
				return errors.New("there is no USB stick here")
			}
			b.imported++
			return nil
		},
		SetClock: func(t time.Time) error {
			if t.Year() < 2026 {
				return errors.New("that is before this program was made")
			}
			b.set = t
			return nil
		},
		SetPIN: func(pin string) error {
			if len(pin) < 8 {
				return errors.New("a passphrase has at least 8 characters")
			}
			b.pin = pin
			return nil
		},
		ShutDown: func() error { b.off++; return nil },
		Check: func(pin string) (bool, time.Duration, error) {
			if b.wrong >= 3 {
				return false, 2 * time.Second, nil
			}
			if pin != b.pin {
				b.wrong++
			}
			return pin == b.pin, 0, nil
		},
		Notice: func() []string { return nil },
		Now:    func() time.Time { return b.now },
	}
}

// typed is what a session answers to an input.
func typed(b *box, s *session, input string) string {
	if s.out == nil {
		*s = session{d: b.deps(), out: newOutbox(), now: func() time.Time { return b.now }}
	}
	s.take([]byte(input))
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	said := string(s.out.queue)
	s.out.queue = nil
	return said
}

func TestChangesNeedThePIN(t *testing.T) {
	b, s := newBox(), &session{}
	for _, step := range []struct {
		input, want string
		synced, off int
	}{
		{"sync\r", "PIN: ", 0, 0},
		{"guess\r", "That is not the PIN.", 0, 0},
		{"sync\r\n", "PIN: ", 0, 0},
		{"\x03", "> ", 0, 0}, // given up
		{"open-sesame-1\r", "no such command", 0, 0},
		{"3\rOPEN\b\b\b\bopen-sesame-1\r", "It begins.", 1, 0},
		{"import\r", "That did not work: there is no USB stick here", 1, 0},
		{"off\n", "Shutting down.", 1, 1},
		{"logout\rsync\r", "PIN: ", 1, 1},
		{"x\r\rx\rsync\rx\rsync\rx\r", "too many wrong PINs. Try again in 3 seconds", 1, 1},
	} {
		said := typed(b, s, step.input)
		if !strings.Contains(said, step.want) || b.synced != step.synced || b.off != step.off {
			t.Errorf("%q: %q, %d syncs, %d times off", step.input, said, b.synced, b.off)
		}
		if strings.Contains(said, "open-sesame") && strings.Contains(step.want, "begins") {
			t.Errorf("the PIN is shown: %q", said)
		}
	}
	b, s = newBox(), &session{}
	b.stick = true
	typed(b, s, "import\r")
	if b.imported != 0 {
		t.Error("it imports without a PIN")
	}
	if said := typed(b, s, "open-sesame-1\r"); b.imported != 1 || !strings.Contains(said, "It begins.") {
		t.Errorf("import: %q, %d times", said, b.imported)
	}
	b, s = newBox(), &session{}
	typed(b, s, "sync\ropen-sesame-1\r")
	b.now = b.now.Add(unlockedFor + time.Second)
	if said := typed(b, s, "sync\r"); b.synced != 1 || !strings.HasSuffix(said, "PIN: ") {
		t.Errorf("the PIN of an hour ago still holds: %q", said)
	}
}

func TestClockAndPIN(t *testing.T) {
	b, s := newBox(), &session{}
	typed(b, s, "clock 2026-11-23 14:05\ropen-sesame-1\r")
	if want := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC); !b.set.Equal(want) {
		t.Errorf("the clock was set to %v", b.set)
	}
	for input, want := range map[string]string{
		"clock 1970-01-01 00:00\r": "before this program was made", "clock\r": "such as: clock 2026", "clock soon\r": "such as: clock 2026",
		"pin\rnew-one-1\rnew-one-2\r": "not alike", "pin\rshort\rshort\r": "at least 8", "pin\r\r\r": "The old PIN stays.",
	} {
		if said := typed(b, s, input); !strings.Contains(said, want) {
			t.Errorf("%q: %q", input, said)
		}
	}
	if said := typed(b, s, "pin\rnew-one-12\rnew-one-12\r"); b.pin != "new-one-12" || strings.Contains(said, "new-one") {
		t.Errorf("%q, the PIN is %q", said, b.pin)
	}
}

// TestMachine holds the mode of one object a line.
func TestMachine(t *testing.T) {
	b, s := newBox(), &session{}
	typed(b, s, "json\r")
	ask := func(line string) map[string]any {
		t.Helper()
		said := typed(b, s, line+"\n")
		var object map[string]any
		if err := json.Unmarshal([]byte(said), &object); err != nil || strings.Count(said, "\n") != 1 {
			t.Fatalf("%s: %q, %v", line, said, err)
		}
		return object
	}
	if got := ask(`{"do":"status"}`); got["ok"] != true || fmt.Sprint(got["status"]) != "map[evil:"+b.names[1]+"é😀 files:14]" {
		t.Errorf("%q", got)
	}
	if got := ask(`{"do":"wishes"}`); fmt.Sprint(got["wishes"]) != fmt.Sprint(b.names) {
		t.Errorf("%q", got)
	}
	for _, line := range []string{`{"do":"sync"}`, `{"do":"sync","pin":"x"}`, `{"do":"off"}`, `{"do":"nothing"}`, `{"do":7}`} {
		if got := ask(line); got["ok"] != false || got["error"] == "" {
			t.Errorf("%s: %v", line, got)
		}
		if line == `{"do":"off"}` {
			b.wrong = 0
		}
		s.faults = 0
	}
	b.wrong = 0
	if got := ask(`{"do":"sync","pin":"open-sesame-1"}`); got["ok"] != true || b.synced != 1 || b.off != 0 {
		t.Errorf("%v, %d syncs", got, b.synced)
	}
	if got := ask(`{"do":"sync"}`); got["ok"] != false || b.synced != 1 {
		t.Errorf("the PIN held for more than its line: %v", got)
	}
	if got := ask(`{"do":"clock","time":"2026-11-23T14:05:00Z","pin":"open-sesame-1"}`); got["ok"] != true || b.set.IsZero() {
		t.Errorf("%v", got)
	}
	if said := typed(b, s, "menu\n"); !strings.HasSuffix(said, "> ") || s.machine {
		t.Errorf("%q", said)
	}
}

// TestGarbled: escape sequences in names do not reach a terminal, and those that its
// keys send are no commands.
func TestGarbled(t *testing.T) {
	b, s := newBox(), &session{}
	for _, input := range []string{"wishes\r", "logs\r", "json\n{\"do\":\"wishes\"}\n{\"do\":\"logs\"}\nmenu\n"} {
		for _, r := range typed(b, s, input) {
			if r != '\r' && r != '\n' && r != '\b' && !unicode.IsPrint(r) {
				t.Errorf("%q: %q is sent", input, r)
			}
		}
	}
	for _, input := range []string{"\x1b[Astatus\r", "st\x1b[1;5Catus\x1bOP\r", "\x00\x01status\x02\r", "statux\bs\r", "xx\x15status\r", "STATUS\r\n", "1\n"} {
		if said := typed(b, s, input); !strings.Contains(said, "14 files") {
			t.Errorf("%q: %q", input, said)
		}
	}
	if said := typed(b, s, strings.Repeat("a", 100_000)+"\rstatus\r"); !strings.Contains(said, "too long") || !strings.Contains(said, "14 files") || len(said) > 2000 {
		t.Errorf("a long line: %d bytes, %q", len(said), said[max(0, len(said)-300):])
	}
}

// TestLoop leads back what is said: a plug that does so, or a machine that answers,
// must not keep the line busy for ever.
func TestLoop(t *testing.T) {
	for _, start := range []string{"help\r", "x\r", "x", "json\r", "\r", "wishes\r", "sync\r", "{\"do\":\"wishes\"}\r"} {
		b, s := newBox(), &session{}
		said, rounds, total := start, 0, 0
		for ; said != "" && rounds < 1000; rounds++ {
			said = typed(b, s, said)
			total += len(said)
		}
		if said != "" || total > 16<<10 {
			t.Errorf("%q: after %d rounds and %d bytes it still says %q", start, rounds, total, said)
		}
		if b.synced+b.off > 0 {
			t.Errorf("%q did something", start)
		}
	}
}

func TestOutbox(t *testing.T) {
	o := newOutbox()
	message := strings.Repeat("x", 1000)
	for range 100 {
		o.put(message, lostNote)
	}
	if n := o.dropped(); n != 100-outboxBytes/1000 {
		t.Errorf("%d lost", n)
	}
	var read bytes.Buffer
	for range outboxBytes / 1000 * 1000 / pieceBytes {
		piece := o.next()
		if len(piece) > pieceBytes {
			t.Fatalf("a piece of %d bytes", len(piece))
		}
		read.Write(piece)
	}
	o.put("after", lostNote)
	o.mu.Lock()
	read.Write(o.queue)
	o.mu.Unlock()
	if got := read.String(); !strings.HasSuffix(got, "\r\n[68 lines were lost: nobody read them]\r\nafter") || strings.Count(got, "x") != 32000 {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-60:])
	}
	o.close()
	if o.next() != nil {
		t.Error("it goes on after its end")
	}
}

// FuzzSession feeds what comes over a wire, in pieces, to a session.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"status\r\n", "sync\ropen-sesame-1\rlogout\r", "json\n{\"do\":\"status\"}\n{\"do\":\"pin\",\"pin\":\"open-sesame-1\",\"new\":\"abcdefgh\"}\nmenu\n",
		"\x1b[A\x1bOP\x7f\b\x03\x15\x00\xff\xfe", "pin\ropen-sesame-1\rlonger-one\rlonger-one\r", "clock 2026-11-23 14:05\ropen-sesame-1\r",
		strings.Repeat("z", 600) + "\r\n", "{\"do\":\"off\"}\r", "ünïcödé\b\b\r", "7\r1\r1\r", "json\r\xf0\x9f\x98\r\n",
	} {
		f.Add([]byte(seed), byte(3))
	}
	f.Fuzz(func(t *testing.T, input []byte, size byte) { endure(t, input, int(size)+1) })
}

// endure feeds an input in pieces to a session, and looks what becomes of it.
func endure(t *testing.T, input []byte, size int) {
	b, s := newBox(), &session{}
	for piece := range pieces(input, size) {
		if said := typed(b, s, string(piece)); hasControl(said) {
			t.Fatalf("%q is answered with %q", piece, said)
		}
		if len(s.line) > lineBytes {
			t.Fatalf("a line of %d bytes is kept", len(s.line))
		}
	}
	if (b.synced+b.off > 0 || !b.set.IsZero() || b.pin != "open-sesame-1") && !bytes.Contains(input, []byte("open")) {
		t.Fatalf("%q changed something without the PIN", input)
	}
}

// TestNoise types at random, of words, keys and noise: half a second, or ten minutes
// with CHEESEBOARD_TEST_LONG=1.
func TestNoise(t *testing.T) {
	lasts := 500 * time.Millisecond
	if os.Getenv("CHEESEBOARD_TEST_LONG") == "1" {
		lasts = 10 * time.Minute
	}
	words := []string{
		"\r", "\n", "\r\n", "\x1b[", "\x1bO", "\x1b", "\x03", "\x15", "\b", "\x7f", "\x00", "\xff", "\xc3", "é", "😀", " ", "\"", "{", "}", ":", ",",
		`{"do":"`, `"}`, `{"do":"off","pin":"`, `{"do":"pin","new":"abcdefgh"}`, `{"ok":true}`, "open-sesame-1", strings.Repeat("w", 300),
	}
	for _, c := range commands() {
		words = append(words, c.name, c.name+"\r")
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	rounds := 0
	for begun := time.Now(); time.Since(begun) < lasts; rounds++ {
		var input []byte
		for range rng.IntN(60) {
			if word := words[rng.IntN(len(words))]; rng.IntN(8) > 0 {
				input = append(input, word...)
			} else {
				input = append(input, byte(rng.Uint32()))
			}
		}
		if endure(t, input, 1+rng.IntN(40)); t.Failed() {
			t.Fatalf("seed %d, round %d: %q", seed, rounds, input)
		}
	}
	t.Logf("%d sessions", rounds)
}

func hasControl(said string) bool {
	return strings.ContainsFunc(said, func(r rune) bool {
		return r != '\r' && r != '\n' && r != '\b' && !unicode.IsPrint(r)
	})
}

func pieces(input []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(input) > 0 {
			n := min(size, len(input))
			if !yield(input[:n]) {
				return
			}
			input = input[n:]
		}
	}
}
