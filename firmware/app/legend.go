package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cheeseboard/board/led"
	"cheeseboard/firmware/config"
)

// LightState is a row of the legend of the light, as machines read it.
type LightState struct {
	State    string      `json:"state"`
	Rhythm   string      `json:"rhythm"`
	Colour   string      `json:"colour"` // of a light that has colours
	Meaning  string      `json:"meaning"`
	Timeline []LightStep `json:"timeline"` // played over and over
}

// LightStep is lit or dark for a while.
type LightStep struct {
	On           bool  `json:"on"`
	Milliseconds int64 `json:"ms"` // 0: for good
}

// Legend is what the light says, the most urgent first.
func Legend() []LightState {
	var rows []LightState
	for _, m := range led.Legend() {
		row := LightState{State: m.Name, Rhythm: m.Rhythm, Colour: m.Timeline.Colour.String(), Meaning: m.Sentence}
		for _, s := range m.Timeline.Steps {
			row.Timeline = append(row.Timeline, LightStep{s.On, s.For.Milliseconds()})
		}
		rows = append(rows, row)
	}
	return rows
}

// DemoLight plays each state for a while on the light of the settings, and names it
// before. Then the light is as it was. A box that serves on this machine draws over it.
func DemoLight(ctx context.Context, c config.Config, log *slog.Logger, each time.Duration, name func(LightState)) (err error) {
	p := &Panel{config: c, log: log}
	light, err := p.openLight()
	switch {
	case err != nil:
		return fmt.Errorf("%w; led.device or led.lines can name one", err)
	case light == nil:
		return errors.New("the settings want no light: led.device is empty")
	}
	if p.kernel != nil {
		defer func() { err = errors.Join(err, p.kernel.Restore(), p.kernel.Close()) }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	player := led.NewPlayer(light, log)
	done := make(chan struct{})
	go func() { defer close(done); player.Run(ctx) }()
	rows := led.Legend()
	for i, row := range Legend() {
		name(row)
		if !showFor(ctx, player, rows[i].State, each) {
			break
		}
	}
	player.Show(led.Safe)
	cancel()
	<-done
	return nil
}

// showFor keeps a state up; false where ctx has ended.
func showFor(ctx context.Context, player *led.Player, s led.State, each time.Duration) bool {
	ticker := time.NewTicker(led.Patience / 2)
	defer ticker.Stop()
	timer := time.NewTimer(each)
	defer timer.Stop()
	for {
		player.Show(s)
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-ticker.C:
		}
	}
}
