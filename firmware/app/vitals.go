package app

import (
	"fmt"
	"strings"

	"cheeseboard/board/vitals"
	"cheeseboard/firmware/health"
	"cheeseboard/httpd/metrics"
)

const (
	// hotAt is the temperature at which work that can wait does, tooHotAt the one at
	// which a Raspberry Pi slows itself down, both in degrees Celsius.
	hotAt, tooHotAt = 75, 80
	// scarce is the part of the memory that is left when it is nearly used up.
	scarce = 0.05
	// wornAt is the part of its life that a card has behind it when another one should
	// be at hand.
	wornAt = 0.9
)

// addVitals puts what the machine tells on the board, and names of what it tells
// nothing.
func (a *App) addVitals(first vitals.Reading) string {
	var silent []string
	for _, p := range []struct {
		name  string
		probe func(vitals.Reading) health.Finding
	}{
		{"temperature", probeTemperature}, {"power supply", probeSupply}, {"throttling", probeThrottling},
		{"memory", probeMemory}, {"load", probeLoad}, {"card", probeCards}, {"file system", probeFileSystem},
	} {
		a.Health.Add(p.name, func() health.Finding { return p.probe(a.vitals.Latest()) })
		if p.probe(first).Severity == health.NotMeasured {
			silent = append(silent, p.name)
		}
	}
	if a.Hot == nil {
		a.Hot = func() bool {
			c, known := a.vitals.Latest().Celsius.Get()
			return known && c >= hotAt
		}
	}
	return strings.Join(silent, ", ")
}

func notMeasured(why string) health.Finding {
	return health.Finding{Severity: health.NotMeasured, Summary: "not measured: " + why}
}

func attention(action, summary string, args ...any) health.Finding {
	return health.Finding{Severity: health.Attention, Action: action, Summary: fmt.Sprintf(summary, args...)}
}

func well(summary string, args ...any) health.Finding {
	return health.Finding{Summary: fmt.Sprintf(summary, args...)}
}

func probeTemperature(r vitals.Reading) health.Finding {
	c, known := r.Celsius.Get()
	switch {
	case !known:
		return notMeasured(r.Celsius.Why())
	case c >= tooHotAt:
		return attention("give it air, or a heat sink", "the processor has %.0f °C, and slows itself down", c)
	case c >= hotAt:
		return well("the processor has %.0f °C: work that can wait does", c)
	}
	return well("the processor has %.0f °C", c)
}

func probeSupply(r vitals.Reading) health.Finding {
	weak, known := r.UnderVoltage.Get()
	switch {
	case !known:
		return notMeasured(r.UnderVoltage.Why())
	case weak:
		return attention("use the power supply that belongs to the board, and a short cable", "the power supply is too weak: this can damage what is on the card")
	}
	return well("the power supply is strong enough")
}

func probeThrottling(r vitals.Reading) health.Finding {
	slow, known := r.Throttled.Get()
	switch {
	case !known:
		return notMeasured(r.Throttled.Why())
	case slow:
		return attention("give it air, and look at the power supply", "the processor is slowed down")
	}
	return well("the processor runs as fast as it should")
}

func probeMemory(r vitals.Reading) health.Finding {
	total, known := r.MemoryTotal.Get()
	free, also := r.MemoryAvailable.Get()
	switch {
	case !known || !also || total == 0:
		return notMeasured(r.MemoryTotal.Why() + r.MemoryAvailable.Why())
	case float64(free) < scarce*float64(total):
		return attention("end other programs on this machine", "the memory is nearly used up: %d MB of %d MB are left", free>>20, total>>20)
	}
	return well("%d MB of %d MB of memory are left", free>>20, total>>20)
}

// probeLoad only tells: a box that is busy is not in trouble.
func probeLoad(r vitals.Reading) health.Finding {
	load, known := r.Load.Get()
	if !known {
		return notMeasured(r.Load.Why())
	}
	return well("in the last minute %.2f programs ran or waited", load)
}

func probeCards(r vitals.Reading) health.Finding {
	if len(r.Cards) == 0 {
		return notMeasured("there is no card")
	}
	const action = "have another card ready, and move to it (cheeseboard move)"
	var told []string
	why := ""
	for _, c := range r.Cards {
		used, known := c.Used.Get()
		reserve, also := c.Reserve.Get()
		switch {
		case known && used > 1:
			return attention(action, "the card %s has outlived the life that its maker gives it", c.Name)
		case known && used >= wornAt:
			return attention(action, "the card %s has %.0f %% of its life behind it", c.Name, 100*used)
		case also && reserve >= vitals.ReserveLow:
			return attention(action, "the card %s has used up most of its spare blocks", c.Name)
		case known:
			told = append(told, fmt.Sprintf("the card %s has at most %.0f %% of its life behind it", c.Name, 100*used))
		case also:
			told = append(told, fmt.Sprintf("the card %s has spare blocks", c.Name))
		default:
			why = c.Used.Why()
		}
	}
	if len(told) == 0 {
		return notMeasured(why)
	}
	return well("%s", strings.Join(told, "; "))
}

func probeFileSystem(r vitals.Reading) health.Finding {
	readOnly, known := r.ReadOnly.Get()
	if readOnly {
		return attention("start the machine anew, so that the disk is checked; if it happens again, replace the disk",
			"the disk cannot be written any more: what is here is served")
	}
	errors := 0
	for _, f := range r.FileSystems {
		n, told := f.Errors.Get()
		switch {
		case told && f.Fresh > 0:
			return attention("replace the disk soon (cheeseboard move)", "the file system on %s has found %d errors since the box was started", f.Device, f.Fresh)
		case told && n > 0:
			return attention("start the machine anew, so that the disk is checked", "the file system on %s has found %d errors", f.Device, n)
		case told:
			errors++
		}
	}
	switch {
	case !known:
		return notMeasured(r.ReadOnly.Why())
	case errors == 0:
		return well("the disk can be written; whether it has errors is not measured")
	}
	return well("the disk can be written, and has no errors")
}

// broken tells whether the light should say so: the disk became read-only, or gives
// errors now.
func broken(r vitals.Reading) bool {
	is, _ := r.ReadOnly.Get()
	for _, f := range r.FileSystems {
		is = is || f.Fresh > 0
	}
	return is
}

// vitalMetrics are in base units; what is not measured is left out.
func (a *App) vitalMetrics() []metrics.Family {
	if a.vitals == nil {
		return nil
	}
	r := a.vitals.Latest()
	var out []metrics.Family
	add := func(name, help string, value float64, known bool, labels ...string) {
		if !known {
			return
		}
		s := metrics.Sample{Labels: labels, Value: value}
		if n := len(out); n > 0 && out[n-1].Name == "cheeseboard_"+name {
			out[n-1].Samples = append(out[n-1].Samples, s)
			return
		}
		out = append(out, metrics.Family{Name: "cheeseboard_" + name, Help: help, Kind: metrics.Gauge, Samples: []metrics.Sample{s}})
	}
	celsius, known := r.Celsius.Get()
	add("temperature_celsius", "Of the processor.", celsius, known)
	weak, known := r.UnderVoltage.Get()
	add("under_voltage", "Whether the power supply is too weak.", truth(weak), known)
	slow, known := r.Throttled.Get()
	add("throttled", "Whether the processor is slowed down.", truth(slow), known)
	total, known := r.MemoryTotal.Get()
	add("memory_total_bytes", "Memory of the machine.", float64(total), known)
	free, known := r.MemoryAvailable.Get()
	add("memory_available_bytes", "Memory that programs can have without swapping.", float64(free), known)
	load, known := r.Load.Get()
	add("load1", "Programs that ran or waited in the last minute.", load, known)
	for _, c := range r.Cards {
		used, known := c.Used.Get()
		add("card_life_used_ratio", "Part of its life that a card has behind it, as its maker sees it.", used, known, "device", c.Name)
	}
	for _, c := range r.Cards {
		reserve, known := c.Reserve.Get()
		add("card_reserve", "Spare blocks of a card: 1 enough, 2 few, 3 next to none.", float64(reserve), known, "device", c.Name)
	}
	for _, f := range r.FileSystems {
		n, known := f.Errors.Get()
		add("ext4_errors", "Errors of a file system since it was last checked.", float64(n), known, "device", f.Device)
	}
	readOnly, known := r.ReadOnly.Get()
	add("data_read_only", "Whether the disk with the data cannot be written.", truth(readOnly), known)
	return out
}
