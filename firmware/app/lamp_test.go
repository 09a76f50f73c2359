package app

import (
	"testing"

	"cheeseboard/board/led"
	"cheeseboard/board/vitals"
	"cheeseboard/firmware/health"
)

// TestLamp holds what the light says of the box.
func TestLamp(t *testing.T) {
	for _, c := range []struct {
		what  string
		scene scene
		want  led.State
	}{
		{"it starts", scene{}, led.Wait},
		{"it stops while a sync runs", scene{syncing: true, verdict: health.Attention}, led.Wait},
		{"it stops with a broken disk", scene{broken: true, verdict: health.Failed}, led.Wait},
		{"all well", scene{serves: true}, led.Healthy},
		{"not everything is measured", scene{serves: true, verdict: health.NotMeasured}, led.Healthy},
		{"the upstream is not reached", scene{serves: true, verdict: health.Reduced}, led.Unreachable},
		{"it syncs", scene{serves: true, syncing: true}, led.Syncing},
		{"it syncs from one upstream, another is not reached", scene{serves: true, syncing: true, verdict: health.Reduced}, led.Syncing},
		{"the disk fills up while it syncs", scene{serves: true, syncing: true, verdict: health.Attention}, led.Attention},
		{"the metadata cannot be read", scene{serves: true, syncing: true, verdict: health.Failed}, led.CannotServe},
		{"the disk became read-only", scene{serves: true, broken: true, verdict: health.Attention}, led.CannotServe},
		{"it moves", scene{serves: true, moving: true, verdict: health.Reduced, syncing: true}, led.Wait},
		{"it identifies itself", scene{serves: true, identify: true}, led.Identify},
		{"it identifies itself, and wants attention", scene{serves: true, identify: true, verdict: health.Attention}, led.Identify},
		{"it identifies itself, and cannot serve", scene{serves: true, identify: true, verdict: health.Failed}, led.CannotServe},
		{"it identifies itself while it moves", scene{serves: true, identify: true, moving: true}, led.Wait},
	} {
		if got := c.scene.state(); got != c.want {
			t.Errorf("%s: the light says %s, want %s", c.what, got, c.want)
		}
	}
}

// TestVitalProbes: each trouble is told with what to do, and what is not measured is
// never well.
func TestVitalProbes(t *testing.T) {
	const ok, bad, none = health.OK, health.Attention, health.NotMeasured
	card := func(used float64, reserve vitals.Reserve) vitals.Reading {
		return vitals.Reading{Cards: []vitals.Card{{Name: "mmcblk0"}, {Name: "mmcblk1", Used: vitals.Known(used), Reserve: vitals.Known(reserve)}}}
	}
	disk := func(readOnly bool, n, fresh int64) vitals.Reading {
		return vitals.Reading{ReadOnly: vitals.Known(readOnly), FileSystems: []vitals.FileSystem{{Device: "mmcblk0p2", Errors: vitals.Known(n), Fresh: fresh}}}
	}
	memory := func(total, free int64) vitals.Reading {
		return vitals.Reading{MemoryTotal: vitals.Known(total), MemoryAvailable: vitals.Known(free)}
	}
	for _, c := range []struct {
		what    string
		probe   func(vitals.Reading) health.Finding
		reading vitals.Reading
		want    health.Severity
		broken  bool
	}{
		{"cool", probeTemperature, vitals.Reading{Celsius: vitals.Known(48.3)}, ok, false},
		{"warm", probeTemperature, vitals.Reading{Celsius: vitals.Known(79.9)}, ok, false},
		{"hot", probeTemperature, vitals.Reading{Celsius: vitals.Known(80.0)}, bad, false},
		{"strong", probeSupply, vitals.Reading{UnderVoltage: vitals.Known(false)}, ok, false},
		{"weak", probeSupply, vitals.Reading{UnderVoltage: vitals.Known(true)}, bad, false},
		{"fast", probeThrottling, vitals.Reading{Throttled: vitals.Known(false)}, ok, false},
		{"slow", probeThrottling, vitals.Reading{Throttled: vitals.Known(true)}, bad, false},
		{"room", probeMemory, memory(1<<30, 500<<20), ok, false},
		{"no room", probeMemory, memory(1<<30, 50<<20), bad, false},
		{"half told", probeMemory, vitals.Reading{MemoryTotal: vitals.Known[int64](1)}, none, false},
		{"busy", probeLoad, vitals.Reading{Load: vitals.Known(40.0)}, ok, false},
		{"new card", probeCards, card(0.1, vitals.ReserveGood), ok, false},
		{"old card", probeCards, card(0.9, vitals.ReserveGood), bad, false},
		{"outlived card", probeCards, card(1.1, vitals.ReserveGood), bad, false},
		{"card without spares", probeCards, card(0.1, vitals.ReserveLow), bad, false},
		{"silent card", probeCards, vitals.Reading{Cards: []vitals.Card{{Name: "mmcblk0", Used: vitals.Unknown[float64]("it does not tell")}}}, none, false},
		{"sound disk", probeFileSystem, disk(false, 0, 0), ok, false},
		{"errors of old", probeFileSystem, disk(false, 3, 0), bad, false},
		{"errors now", probeFileSystem, disk(false, 3, 1), bad, true},
		{"read-only", probeFileSystem, disk(true, 0, 0), bad, true},
		{"another file system", probeFileSystem, vitals.Reading{ReadOnly: vitals.Known(false)}, ok, false},
		{"nothing of temperature", probeTemperature, vitals.Reading{}, none, false},
		{"nothing of power", probeSupply, vitals.Reading{}, none, false},
		{"nothing of throttling", probeThrottling, vitals.Reading{}, none, false},
		{"nothing of memory", probeMemory, vitals.Reading{}, none, false},
		{"nothing of load", probeLoad, vitals.Reading{}, none, false},
		{"no card", probeCards, vitals.Reading{}, none, false},
		{"nothing of the disk", probeFileSystem, vitals.Reading{}, none, false},
	} {
		f := c.probe(c.reading)
		if f.Severity != c.want || f.Summary == "" || (f.Action != "") != (c.want == bad) {
			t.Errorf("%s: %+v", c.what, f)
		}
		if broken(c.reading) != c.broken {
			t.Errorf("%s: broken is %t", c.what, !c.broken)
		}
	}
}
