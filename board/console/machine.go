package console

import (
	"encoding/json"
	"time"
)

// request is a line of the mode for machines. PIN is needed for changes, each time.
type request struct {
	Do   string    `json:"do"` // the name of a command, or "menu" for the mode for people
	PIN  string    `json:"pin,omitempty"`
	New  string    `json:"new,omitempty"` // of pin
	Time time.Time `json:"time,omitzero"` // of clock
	// OK stands in answers: a line that has it came back from the other end, and is
	// passed over.
	OK *bool `json:"ok,omitempty"`
}

// answer is the line that comes back, in ASCII.
type answer struct {
	OK        bool     `json:"ok"`
	Do        string   `json:"do,omitempty"`
	Error     string   `json:"error,omitempty"` // a sentence; "" where OK
	Status    any      `json:"status,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Wishes    []string `json:"wishes,omitempty"`
	Logs      []string `json:"logs,omitempty"`
}

// object answers one line of the mode for machines.
func (s *session) object(line string, tooLong bool) {
	if line == "" && !tooLong {
		return
	}
	var r request
	err := json.Unmarshal([]byte(line), &r)
	switch {
	case tooLong:
		s.objection("", "the line is too long")
	case line == "menu" || err == nil && r.Do == "menu":
		s.reply(answer{OK: true, Do: "menu"})
		s.faults, s.machine = 0, false
		s.put("> ")
	case err != nil:
		s.objection("", `send one object a line, such as {"do":"status"}; {"do":"menu"} leads back`)
	case r.OK != nil:
	default:
		s.faults = 0
		s.do(r)
	}
}

// objection answers a line that makes no sense, a few times.
func (s *session) objection(do, text string) {
	if s.faults++; !s.quiet() {
		s.reply(answer{Do: do, Error: text})
	}
}

// do carries out a request.
func (s *session) do(r request) {
	a, err := answer{OK: true, Do: r.Do}, error(nil)
	for _, c := range commands() {
		if c.name == r.Do && c.change {
			if why := s.unlock(r.PIN); why != "" {
				s.reply(answer{Do: r.Do, Error: why})
				return
			}
			s.unlocked = time.Time{} // it held for this line
		}
	}
	switch r.Do {
	case "status":
		_, a.Status, err = s.d.Status()
	case "address":
		a.Addresses = s.d.Addresses()
	case "wishes":
		a.Wishes, err = s.d.Wishes()
	case "logs":
		a.Logs = s.d.Logs()
	case "sync":
		err = s.d.Sync()
	case "import":
		err = s.d.Import()
	case "clock":
		err = s.d.SetClock(r.Time)
	case "pin":
		err = s.d.SetPIN(r.New)
	case "off":
		err = s.d.ShutDown()
	case "json", "logout": // it is so already
	default:
		s.objection("", "there is no such command")
		return
	}
	if err != nil {
		a = answer{Do: r.Do, Error: err.Error()}
	}
	s.reply(a)
}

func (s *session) reply(a answer) {
	raw, err := json.Marshal(a)
	if err != nil { // a status that has no form in JSON
		raw, err = json.Marshal(answer{Do: a.Do, Error: "the answer cannot be written: " + err.Error()})
		if err != nil {
			return // two strings: it does not happen
		}
	}
	s.put(string(ascii(raw)) + "\n")
}
