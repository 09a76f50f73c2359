package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"cheeseboard/board/button"
	"cheeseboard/board/led"
	"cheeseboard/board/lines"
	"cheeseboard/board/vitals"
	"cheeseboard/firmware/config"
)

// Panel is what a person sees and touches of a box: its light, its button, and what
// the machine tells of itself. It lives longer than the App, so that the light can say
// that it starts, and at the end that it is safe to unplug. The zero value has nothing.
type Panel struct {
	// Say tells a person something that is not to be kept; nil: the log does.
	Say func(text string)
	// Stick is what one short press imports from; nil: the sticks of the box.
	Stick Stick
	// Network forgets the network settings of the machine; nil: it has none of ours.
	Network func() error
	// PowerOff begins to switch the machine off; nil: the settings may name a program.
	PowerOff func() error

	config config.Config
	log    *slog.Logger

	light  *led.Player // nil: there is none
	kernel *led.OnBoard
	line   button.Line // nil: there is no button

	mu       sync.Mutex
	scene    func() scene // nil: it starts, or stops
	identify time.Time    // until when it says which box this is
	powerOff bool         // asked for by the button

	poked   chan struct{} // holds one: look at once
	cancel  context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup
	drawing sync.WaitGroup // the player, which ends last
	dark    context.CancelFunc
	program string // that switches the machine off
	missing []any  // what was not found, as attributes of the log
}

// Stick is where one short press of the button imports from.
type Stick interface {
	// Inserted tells whether there is one now. It must be quick.
	Inserted() bool
	// Import begins to bring in what is on it, and does not wait for that.
	Import()
}

// look is the time between two looks at how the box is.
const look = 2 * time.Second

// OpenPanel finds light and button, and begins to show that the box starts. What is
// not there costs nothing; Install says it, in one line of the log.
func OpenPanel(c config.Config, log *slog.Logger) *Panel {
	p := &Panel{config: c, log: log, poked: make(chan struct{}, 1)}
	var missing []any // said when it is known of what the machine tells nothing
	light, err := p.openLight()
	if err != nil {
		missing = append(missing, "light", err)
	}
	if p.line, err = openButton(c.Button.Line); err != nil {
		missing = append(missing, "button", err)
	}
	if len(c.Button.PowerOff) > 0 {
		if p.program, err = exec.LookPath(c.Button.PowerOff[0]); err != nil {
			missing = append(missing, "button.power-off", err)
		}
	}
	p.missing = missing
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if light != nil {
		p.light = led.NewPlayer(light, log)
		ctx, dark := context.WithCancel(context.Background())
		p.dark = dark
		p.drawing.Go(func() { p.light.Run(ctx) })
		p.running.Go(p.watch)
	}
	return p
}

// openLight gives no light and no error where none is wanted.
func (p *Panel) openLight() (led.Light, error) {
	c := p.config.LED
	if len(c.Lines) > 0 {
		return openWired(c)
	}
	if c.Device == "" {
		return nil, nil
	}
	kernel, err := led.OpenOnBoard(c.Device, c.Invert)
	if err != nil {
		return nil, err
	}
	p.kernel = kernel
	return kernel, nil
}

func openWired(c config.LED) (led.Light, error) {
	var outs []gpio.PinOut
	for _, name := range c.Lines {
		line, err := lines.Find(name)
		if err != nil {
			return nil, err
		}
		outs = append(outs, line)
	}
	return led.NewWired(outs, c.Invert)
}

// openButton gives no line and no error where none is wanted.
func openButton(name string) (button.Line, error) {
	if name == "" {
		return nil, nil
	}
	if name == config.Auto {
		var err error
		if name, err = button.OfBoard("/"); err != nil {
			return nil, err
		}
	}
	line, err := lines.Find(name)
	if err != nil {
		return nil, err
	}
	return line, button.Prepare(line)
}

// devices are what a confined process must be able to write while the panel is open.
// The lines of chips are open already.
func (p *Panel) devices() []string {
	if p == nil || p.kernel == nil {
		return nil
	}
	return []string{p.kernel.Folder()}
}

// programs are what a confined process must be able to run.
func (p *Panel) programs() []string {
	if p == nil || p.program == "" {
		return nil
	}
	paths := []string{p.program}
	if real, err := filepath.EvalSymlinks(p.program); err == nil {
		paths = append(paths, real)
	}
	return append(paths, "/lib", "/lib64", "/usr/lib", "/usr/lib64") // what it is linked with
}

// serves has the panel show a scene, and nil that the box starts or stops.
func (p *Panel) serves(s func() scene) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.scene = s
	p.mu.Unlock()
	p.poke()
}

func (p *Panel) poke() {
	select {
	case p.poked <- struct{}{}:
	default: // it looks anyway
	}
}

// watch tells the light how the box is, until the panel is closed. Where that cannot be
// found out, the light is not told, and says so.
func (p *Panel) watch() {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		p.light.Show(p.state())
		select {
		case <-p.ctx.Done():
			return
		case <-ticker.C:
		case <-p.poked:
		}
	}
}

func (p *Panel) state() led.State {
	p.mu.Lock()
	now, identify := p.scene, time.Now().Before(p.identify)
	p.mu.Unlock()
	s := scene{}
	if now != nil {
		s = now() // not under the lock: it may take its time
	}
	s.identify = identify
	return s.state()
}

// Close ends everything. err is that of the box: without one the light says that it is
// safe to unplug, with one that the program is dead. Where the button has asked for it,
// the machine is switched off; until it is, the light says to wait.
func (p *Panel) Close(err error) error {
	p.mu.Lock()
	off := p.powerOff && (p.program != "" || p.PowerOff != nil) && err == nil
	p.mu.Unlock()
	p.cancel()
	p.running.Wait()
	last := led.Safe
	switch {
	case err != nil:
		last = led.Dead
	case off:
		last = led.Wait
	}
	if p.light != nil {
		p.light.Show(last)
		p.dark()
		p.drawing.Wait()
	}
	var errs []error
	if off && p.kernel != nil {
		if err := p.kernel.HandOver(); err != nil {
			p.log.Info("the kernel does not go on with the rhythm of the light", "reason", err)
		}
	}
	if p.kernel != nil {
		errs = append(errs, p.kernel.Close())
	}
	if off {
		errs = append(errs, p.switchOff())
	}
	return errors.Join(errs...)
}

// switchOffLater has Close switch the machine off, where the settings say by what.
func (p *Panel) switchOffLater() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.powerOff = true
}

// switchOff has the machine switched off: by the program that the settings name, or by
// its init.
func (p *Panel) switchOff() error {
	if p.program == "" {
		return p.PowerOff()
	}
	args := p.config.Button.PowerOff
	out, err := exec.Command(p.program, args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("switch the machine off with %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Install hands a panel to the box, and the box to the panel: probes for what the
// machine tells, and what the button does. end is called when the button asks the box
// to end. It is called once, before Confine and Serve; the panel must be closed after
// the App.
func (a *App) Install(p *Panel, end func()) {
	a.panel = p
	if p.Stick == nil {
		p.Stick = sticksOf{a}
	}
	if a.machine != nil {
		p.useMachine(a.machine)
	}
	a.vitals = vitals.NewMonitor("/", a.folder)
	if silent := a.addVitals(a.vitals.Measure()); silent != "" {
		p.missing = append(p.missing, "not measured", silent)
	}
	if len(p.missing) > 0 {
		a.log.Info("some of the board is not there", p.missing...)
	}
	p.running.Go(func() { a.vitals.Run(p.ctx) })
	if p.line != nil {
		p.running.Go(func() { button.Watch(p.ctx, p.line, &presses{a, p, end}, p.log) })
	}
}

// folder is the data folder without links; "" while it is closed.
func (a *App) folder() string {
	leave, _ := a.calls.try()
	if leave == nil {
		return ""
	}
	defer leave()
	path, err := filepath.Abs(a.Store.Dir())
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return ""
	}
	return path
}
