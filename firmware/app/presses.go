package app

import (
	"fmt"
	"strings"
	"time"

	"cheeseboard/board/button"
)

// identifyFor is how long a box says which one it is.
const identifyFor = time.Minute

// presses does what the button means.
type presses struct {
	app   *App
	panel *Panel
	end   func()
}

// Marked implements button.Actions.
func (b *presses) Marked(n int) {
	if b.panel.light != nil {
		b.panel.light.Mark(n)
	}
}

// Pressed implements button.Actions.
func (b *presses) Pressed(p button.Press) {
	b.panel.log.Info("the button was pressed", "how", p)
	switch p {
	case button.Once:
		if s := b.panel.Stick; s.Inserted() {
			s.Import()
			return
		}
		b.app.Identify()
	case button.Twice:
		b.sync()
	case button.Hold5:
		b.panel.switchOffLater()
		b.end()
	case button.Hold15:
		b.reset()
	}
}

func (b *presses) sync() {
	leave, _ := b.app.calls.try()
	if leave == nil {
		b.panel.log.Info("there is no sync now: the data folder is closed")
		return
	}
	defer leave()
	for _, e := range b.app.engines() {
		e.Poke()
	}
}

// reset has network settings and passphrase begin anew. The data stay.
func (b *presses) reset() {
	if b.panel.Network != nil {
		if err := b.panel.Network(); err != nil {
			b.panel.log.Error("the network settings could not be reset", "reason", err)
		}
	}
	leave, _ := b.app.calls.try()
	if leave == nil {
		b.panel.log.Error("the passphrase was not reset: the data folder is closed; hold the button again")
		return
	}
	defer leave()
	if b.app.admin == nil {
		b.panel.log.Info("there is no passphrase to be reset: access.admin is off")
		return
	}
	made, err := b.app.admin.renew()
	if err != nil {
		b.panel.log.Error("the passphrase could not be reset", "reason", err)
		return
	}
	b.panel.say(fmt.Sprintf("administration: /admin/, new passphrase %s (it is shown this once)", made))
}

func (p *Panel) say(text string) {
	if p.Say != nil {
		p.Say(text)
		return
	}
	p.log.Info(text)
}

// Identify has the light say for a minute which box this is, where there is one, and
// writes to the log how the box is, whose last lines the console shows.
func (a *App) Identify() {
	if p := a.panel; p != nil {
		p.mu.Lock()
		p.identify = time.Now().Add(identifyFor)
		p.mu.Unlock()
		p.poke()
	}
	a.log.Info("here I am: " + a.oneLine())
}

// oneLine says how the box is.
func (a *App) oneLine() string {
	v := a.Health.Verdict()
	parts := []string{v.Severity.String(), v.Summary}
	if v.Action != "" {
		parts = append(parts, v.Action)
	}
	return strings.Join(parts, ": ")
}
