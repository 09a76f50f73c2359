package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cheeseboard/board/console"
	"cheeseboard/board/modem"
	"cheeseboard/firmware/health"
	"cheeseboard/httpd/metrics"
	"cheeseboard/syncer/link"
)

const (
	// modemKey is under which the store keeps what went through the modem.
	modemKey = "modem"
	// modemStep is how much more there must be before it is written down again: the
	// card wears.
	modemStep = 1 << 20
)

// newModem makes the gauge of the line's modem; nil where the settings have none.
func (a *App) newModem(port string) *modem.Gauge {
	if port == "" {
		return nil
	}
	return modem.New(modem.Options{Log: a.log, Open: func() (modem.Port, error) { return a.openPort(port) }})
}

var _ modem.Port = console.Port(nil) // serial ports are opened alike

// waiting says why what nobody waits for may not use the line.
func (a *App) waiting() string {
	for _, reason := range []string{a.mistakes.waiting(), a.timing.waiting()} {
		if reason != "" {
			return reason
		}
	}
	if a.modem == nil || a.mayRoam || a.modem.Latest().Registration != modem.Roaming {
		return ""
	}
	return "waiting while the modem is roaming (modem.roaming = true does not)"
}

// countModem counts what goes through an interface until ctx ends, over boots: the counters of the kernel begin anew with each.
func (a *App) countModem(ctx context.Context, name string) {
	tick := time.NewTicker(modem.DefaultEvery)
	defer tick.Stop()
	var kept modem.Used
	for first := true; ; first = false {
		err := a.during(func() error {
			if first {
				raw, err := a.Store.Value(modemKey)
				if err != nil || raw != nil && json.Unmarshal(raw, &kept) != nil {
					kept = modem.Used{} // it begins anew
				}
			}
			if !a.timing.verified() {
				return nil // whose month this is, nobody knows
			}
			shown, err := modem.Counters("/", name)
			if err != nil {
				return err
			}
			used := kept.Add(time.Now(), link.ReadBoot("/").ID, shown)
			a.used.Store(&used)
			if used.Month == kept.Month && used.Boot == kept.Boot && used.Bytes-kept.Bytes < modemStep {
				return nil
			}
			raw, err := json.Marshal(used)
			if err == nil {
				err = a.Store.SetValue(modemKey, raw)
			}
			kept = used
			return err
		})
		if err != nil && ctx.Err() == nil {
			a.log.Debug("the modem's bytes are not counted", "reason", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *App) probeModem() health.Finding {
	r := a.modem.Latest()
	signal, known := r.Signal.Get()
	if r.Registration == modem.UnknownNetwork && !known {
		return notMeasured(r.Signal.Why())
	}
	f := health.Finding{Summary: "the modem is " + r.Registration.String()}
	if known {
		f.Summary += fmt.Sprintf(", %d dBm", signal)
	}
	if operator, known := r.Operator.Get(); known {
		f.Summary += ", " + operator
	}
	if used := a.used.Load(); used != nil {
		f.Summary += fmt.Sprintf("; %d MB this month, measured by this box", used.Bytes/1e6)
	}
	switch {
	case r.Registration == modem.Denied:
		f.Severity, f.Action = health.Reduced, "look whether the SIM card is in place and paid for"
	case r.Registration == modem.Searching:
		f.Severity, f.Action = health.Reduced, "move the antenna to a window, or higher"
	case r.Registration == modem.Roaming && !a.mayRoam:
		f.Summary += "; nothing is fetched by itself meanwhile"
	}
	return f
}

// modemMetrics are in base units; what is not measured is left out.
func (a *App) modemMetrics() (out []metrics.Family) {
	add := func(name, help string, value float64) {
		out = append(out, metrics.Family{Name: "cheeseboard_modem_" + name, Help: help, Kind: metrics.Gauge, Samples: []metrics.Sample{{Value: value}}})
	}
	if a.modem != nil {
		r := a.modem.Latest()
		if signal, known := r.Signal.Get(); known {
			add("signal_dbm", "Strength of the signal.", float64(signal))
		}
		if r.Registration != modem.UnknownNetwork {
			add("roaming", "Whether the modem is in a network that is not its own.", truth(r.Registration == modem.Roaming))
		}
	}
	if used := a.used.Load(); used != nil {
		add("month_bytes", "Bytes that went through the modem this month, as this box has seen them.", float64(used.Bytes))
	}
	return out
}
