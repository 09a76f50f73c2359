package console

import (
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// lineBytes is the longest line that is read; the rest of a longer one is passed over.
	lineBytes = 512
	// faultsAloud is how many lines in a row that make no sense are answered. Where the
	// other end is a machine that answers too, or a plug that leads back here, silence
	// ends the talk.
	faultsAloud = 3
	// unlockedFor is how long the PIN holds after the last line.
	unlockedFor = 10 * time.Minute
)

// session is the talk at one port, from its opening to its end. It is for one
// goroutine.
type session struct {
	d   Deps
	out *outbox
	now func() time.Time

	line    []byte
	tooLong bool
	ended   byte // the character that ended the last line: a CRLF ends one
	escape  escape

	machine  bool         // the mode: one JSON object a line
	secret   bool         // what is typed is not echoed
	expect   func(string) // takes the next line instead of a command; nil: nothing does
	unlocked time.Time    // until when changes need no PIN
	faults   int          // lines in a row that made no sense
}

// escape is where in an escape sequence of a terminal the input is.
type escape uint8

const (
	plain      escape = iota
	begun             // after ESC
	control           // after ESC [
	applicated        // after ESC O
)

// take reads what was typed, or what else comes over a wire.
func (s *session) take(input []byte) {
	for _, c := range input {
		if s.skip(c) {
			continue
		}
		switch {
		case c == '\n' && s.ended == '\r':
			s.ended = 0 // the second half of a CRLF
			continue
		case c == '\r' || c == '\n':
			s.ended = c
			s.endLine()
			continue
		case c == '\b' || c == 0x7f:
			s.rub()
		case c == 3 || c == 21: // Ctrl-C, Ctrl-U
			s.giveUp()
		case c < ' ':
			// Noise.
		case len(s.line) >= lineBytes:
			s.tooLong = true
		default:
			s.line = append(s.line, c)
			if c < 0x7f && !s.machine && !s.secret {
				s.put(string(rune(c)))
			}
		}
		s.ended = 0
	}
}

// skip passes over the escape sequences that keys of a terminal send.
func (s *session) skip(c byte) bool {
	switch s.escape {
	case begun:
		s.escape = plain
		switch c {
		case '[':
			s.escape = control
		case 'O':
			s.escape = applicated
		case '\r', '\n', 0x1b:
			return s.skip(c)
		}
		return true
	case applicated:
		s.escape = plain
		return c >= ' '
	case control:
		if c >= ' ' && c < '@' {
			return true
		}
		s.escape = plain
		return c >= '@' // a control character ends it and counts
	}
	if c == 0x1b {
		s.escape = begun
		return true
	}
	return false
}

// rub takes the last character away.
func (s *session) rub() {
	if len(s.line) == 0 {
		return
	}
	last, size := utf8.DecodeLastRune(s.line)
	s.line = s.line[:len(s.line)-size]
	if last < 0x7f && !s.machine && !s.secret {
		s.put("\b \b")
	}
}

// giveUp drops the line, and the question that it was to answer.
func (s *session) giveUp() {
	s.line, s.tooLong, s.expect, s.secret = s.line[:0], false, nil, false
	if !s.machine {
		s.put("\r\n> ")
	}
}

func (s *session) endLine() {
	line, tooLong := strings.TrimSpace(strings.ToValidUTF8(string(s.line), "?")), s.tooLong
	clear(s.line) // it may have been a PIN
	s.line, s.tooLong = s.line[:0], false
	if !s.now().Before(s.unlocked) {
		s.unlocked = time.Time{}
	} else {
		s.unlocked = s.now().Add(unlockedFor)
	}
	if s.machine {
		s.object(line, tooLong)
		return
	}
	if !s.quiet() {
		s.put("\r\n")
	}
	expect := s.expect
	s.expect, s.secret = nil, false
	switch {
	case tooLong:
		s.fault("That line is too long.")
	case expect != nil:
		expect(line)
	default:
		s.command(line)
	}
	if !s.quiet() && !s.machine && s.expect == nil {
		s.put("> ")
	}
}

// quiet tells whether nonsense is not answered any more.
func (s *session) quiet() bool { return s.faults >= faultsAloud }

// fault answers a line that makes no sense.
func (s *session) fault(text string) {
	if s.faults++; s.quiet() {
		return
	}
	s.say(text)
}

// say writes lines for people.
func (s *session) say(lines ...string) {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(clean(line))
		b.WriteString("\r\n")
	}
	s.put(b.String())
}

func (s *session) put(text string) {
	note := lostNote
	if s.machine {
		note = lostObject
	}
	s.out.put(text, note)
}
