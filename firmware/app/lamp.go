package app

import (
	"cheeseboard/board/led"
	"cheeseboard/firmware/health"
)

// scene is what the light goes by.
type scene struct {
	serves   bool            // else it starts, or stops
	moving   bool            // the data folder is being moved, or opened anew
	identify bool            // somebody asked which box this is
	broken   bool            // the disk is read-only, or gives errors
	verdict  health.Severity // of all probes
	syncing  bool            // or importing
}

// state is what the light says of a scene: the most urgent that holds.
func (s scene) state() led.State {
	var all []led.State
	add := func(holds bool, state led.State) {
		if holds {
			all = append(all, state)
		}
	}
	// A box that starts or stops has no verdict, and a folder that is being moved would
	// be called closed.
	settled := s.serves && !s.moving
	add(!settled, led.Wait)
	add(settled && (s.broken || s.verdict == health.Failed), led.CannotServe)
	add(s.identify, led.Identify)
	add(settled && s.verdict == health.Attention, led.Attention)
	add(settled && s.syncing, led.Syncing)
	add(settled && s.verdict == health.Reduced, led.Unreachable)
	return led.Highest(all...)
}

// scene looks at the box that serves.
func (a *App) scene() scene {
	s := scene{serves: true, moving: a.moving.Load() > 0}
	leave, _ := a.calls.try()
	if leave == nil {
		s.moving = true // its rooms are closed
		return s
	}
	for _, e := range a.engines() {
		_, under := e.Progress()
		s.syncing = s.syncing || under
	}
	s.broken = a.storeTrouble() != nil
	leave()
	s.syncing = s.syncing || a.imports.running()
	s.verdict = a.Health.Verdict().Severity
	if a.vitals != nil {
		s.broken = s.broken || broken(a.vitals.Latest())
	}
	return s
}
