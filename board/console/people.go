package console

import (
	"fmt"
	"strings"
	"time"
)

// command is something that can be asked for.
type command struct {
	name, does string
	change     bool // it needs the PIN
	run        func(s *session, argument string)
}

// commands are the menu, in the order of their numbers.
func commands() []command {
	return []command{
		{"status", "how the box is", false, (*session).status},
		{"address", "what to type into a browser, and for pip", false, (*session).address},
		{"sync", "bring in now what is wanted", true, (*session).sync},
		{"import", "bring in the packages on the USB stick", true, (*session).importing},
		{"wishes", "what was asked for and is not here yet", false, (*session).wishes},
		{"logs", "the last lines of the log", false, (*session).logs},
		{"clock", "set the clock: clock 2026-11-23 14:05, in UTC", true, (*session).clock},
		{"pin", "choose another PIN", true, (*session).pin},
		{"off", "shut down; wait until the light is off, then unplug", true, (*session).off},
		{"json", "for machines: one object a line", false, (*session).json},
		{"logout", "forget the PIN that was given", false, (*session).logout},
	}
}

// menu is shown for an empty line.
func menu() []string {
	lines := []string{"Cheeseboard. Type a word or its number, then Enter."}
	for i, c := range commands() {
		lines = append(lines, fmt.Sprintf("%3d  %-8s %s", i+1, c.name, c.does))
	}
	return lines
}

// command carries out what a person has typed.
func (s *session) command(line string) {
	word, argument, _ := strings.Cut(line, " ")
	word, argument = strings.ToLower(word), strings.TrimSpace(argument)
	if word == "" || (word == "help" || word == "menu" || word == "?") && argument == "" {
		if word != "" {
			s.faults = 0 // an empty line may be noise
		}
		if !s.quiet() {
			s.say(append(s.d.Notice(), menu()...)...)
		}
		return
	}
	for i, c := range commands() {
		if word != c.name && word != fmt.Sprint(i+1) || argument != "" && c.name != "clock" {
			continue
		}
		s.faults = 0
		if c.change && s.unlocked.IsZero() {
			s.ask("PIN: ", func(pin string) {
				if s.check(pin) {
					c.run(s, argument)
				}
			})
			return
		}
		c.run(s, argument)
		return
	}
	s.fault("There is no such command. Press Enter for the list.")
}

// ask has the next line, which is not echoed, go to a function.
func (s *session) ask(prompt string, then func(string)) {
	s.put(prompt)
	s.secret, s.expect = true, then
}

// check tries a PIN, and says what is wrong with it.
func (s *session) check(pin string) bool {
	if why := s.unlock(pin); why != "" {
		s.say(why)
		return false
	}
	return true
}

// unlock tries a PIN; it gives a sentence where that is not right.
func (s *session) unlock(pin string) string {
	right, wait, err := s.d.Check(pin)
	switch {
	case err != nil:
		return "The PIN cannot be checked: " + err.Error()
	case wait > 0:
		return fmt.Sprintf("There were too many wrong PINs. Try again in %d seconds.", int(wait/time.Second)+1)
	case !right:
		return "That is not the PIN."
	}
	s.unlocked = s.now().Add(unlockedFor)
	return ""
}

// done tells a person how something went.
func (s *session) done(err error, text string) {
	if err != nil {
		text = "That did not work: " + err.Error()
	}
	s.say(text)
}

func (s *session) status(string) {
	lines, _, err := s.d.Status()
	if err != nil {
		lines = []string{"The state cannot be told: " + err.Error()}
	}
	s.say(append(s.d.Notice(), lines...)...)
}

func (s *session) address(string) {
	addresses := s.d.Addresses()
	if len(addresses) == 0 {
		addresses = []string{"This box has no address: look at the cable and the router."}
	}
	s.say(addresses...)
}

func (s *session) sync(string) { s.done(s.d.Sync(), "It begins. Type status to see how it goes.") }

func (s *session) importing(string) {
	s.done(s.d.Import(), "It begins. Type status to see how it goes.")
}

func (s *session) wishes(string) {
	wishes, err := s.d.Wishes()
	switch {
	case err != nil:
		wishes = []string{"The wishes cannot be told: " + err.Error()}
	case len(wishes) == 0:
		wishes = []string{"There are none."}
	}
	s.say(wishes...)
}

func (s *session) logs(string) {
	lines := s.d.Logs()
	if len(lines) == 0 {
		lines = []string{"There is nothing in the log yet."}
	}
	s.say(lines...)
}

// clockForms are how a person may write a time, in UTC.
var clockForms = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", time.RFC3339}

func (s *session) clock(argument string) {
	for _, form := range clockForms {
		if t, err := time.Parse(form, argument); err == nil {
			s.done(s.d.SetClock(t), "The clock is set.")
			return
		}
	}
	s.say("Type the time in UTC, such as: clock 2026-11-23 14:05")
}

func (s *session) pin(string) {
	s.ask("New PIN: ", func(first string) {
		s.ask("Once more: ", func(second string) {
			switch {
			case first != second:
				s.say("The two are not alike. The old PIN stays.")
				return
			case first == "":
				s.say("The old PIN stays.")
				return
			}
			s.done(s.d.SetPIN(first), "The new PIN holds from now on.")
		})
	})
}

func (s *session) off(string) {
	s.done(s.d.ShutDown(), "Shutting down. Wait until the light is off, then unplug.")
}

func (s *session) json(string) {
	s.machine = true
	s.reply(answer{OK: true, Do: "json"})
}

func (s *session) logout(string) {
	s.unlocked = time.Time{}
	s.say("The PIN is needed again.")
}
