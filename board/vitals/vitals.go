// Package vitals reads how the machine is: temperature, power, memory, load, the wear of
// its card, the errors of its file systems. What a board does not tell is not measured,
// which is a value of its own and never a good one.
package vitals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Interval is the time between two readings.
const Interval = 10 * time.Second

// stale is the age at which a reading is worth nothing: the machine has not answered
// since.
const stale = 6 * Interval

// Value is something that was measured, or was not. The zero value was not.
type Value[T any] struct {
	value T
	known bool
	why   string
}

// Known makes a value that was measured.
func Known[T any](v T) Value[T] { return Value[T]{value: v, known: true} }

// Unknown makes one that was not, and says why: "no sensor".
func Unknown[T any](why string) Value[T] { return Value[T]{why: why} }

// Get gives the value; false where it was not measured.
func (v Value[T]) Get() (T, bool) { return v.value, v.known }

// Why tells why it was not measured; "" where it was.
func (v Value[T]) Why() string {
	if !v.known && v.why == "" {
		return "not looked at yet"
	}
	return v.why
}

// MarshalJSON gives the value, or the text "not measured: " and why.
func (v Value[T]) MarshalJSON() ([]byte, error) {
	if !v.known {
		return json.Marshal("not measured: " + v.Why())
	}
	return json.Marshal(v.value)
}

// Reading is how the machine was at a moment. The zero value measured nothing.
type Reading struct {
	When time.Time `json:"when"`

	Celsius Value[float64] `json:"celsius"` // of the processor
	// UnderVoltage: the supply is too weak now, or was since the last reading.
	UnderVoltage Value[bool] `json:"under_voltage"`
	// Throttled: the processor is slowed down, by heat or by a weak supply.
	Throttled Value[bool] `json:"throttled"`

	MemoryTotal     Value[int64]   `json:"memory_total_bytes"`
	MemoryAvailable Value[int64]   `json:"memory_available_bytes"` // for programs, without swapping
	Load            Value[float64] `json:"load"`                   // of the last minute: programs that run or wait

	Cards []Card `json:"cards"` // of the machine; empty: there are none
	// FileSystems are the ext4 ones; empty: there are none.
	FileSystems []FileSystem `json:"file_systems"`
	// ReadOnly: the file system of the data folder cannot be written.
	ReadOnly Value[bool] `json:"read_only"`
}

// Card is a memory card, or memory that is soldered on.
type Card struct {
	Name string `json:"name"` // mmcblk0
	// Used is the part of its life that its maker says is behind it, in steps of a
	// tenth, of the worse of its two kinds of memory; above 1: it has outlived it.
	Used Value[float64] `json:"life_used"`
	// Reserve is what is left of its spare blocks.
	Reserve Value[Reserve] `json:"reserve"`
}

// Reserve is how much of its spare blocks a card has used (JEDEC eMMC 5.1,
// PRE_EOL_INFO).
type Reserve int

// The values of a Reserve.
const (
	ReserveGood Reserve = 1
	ReserveLow  Reserve = 2 // four fifths are used
	ReserveGone Reserve = 3 // nine tenths
)

// FileSystem is one of the ext4 file systems that are mounted.
type FileSystem struct {
	Device string       `json:"device"`
	Errors Value[int64] `json:"errors"` // that were found since it was last checked
	// Fresh is how many of them came since the first reading.
	Fresh int64 `json:"fresh"`
}

// Monitor reads now and then. Its methods may be called by anybody.
type Monitor struct {
	read func() Reading

	mu    sync.Mutex
	last  Reading
	taken time.Time // by this process' clock, which never jumps
	first map[string]int64
}

// NewMonitor makes one that reads the machine whose root folder is root ("/"), and the
// file system of the folder that data gives, without links in it; "" where it is not
// known now.
func NewMonitor(root string, data func() string) *Monitor {
	m := machine{root, data}
	return &Monitor{read: m.reading, first: make(map[string]int64)}
}

// Run reads every Interval until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		m.Measure()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Measure takes a reading now.
func (m *Monitor) Measure() Reading {
	r := m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	r.When, m.taken = time.Now().UTC().Round(time.Second), time.Now()
	maps.DeleteFunc(m.first, func(device string, _ int64) bool { // another disk may come under its name
		return !slices.ContainsFunc(r.FileSystems, func(f FileSystem) bool { return f.Device == device })
	})
	for i, f := range r.FileSystems {
		n, known := f.Errors.Get()
		if !known {
			continue
		}
		if first, seen := m.first[f.Device]; !seen || n < first { // it was checked meanwhile
			m.first[f.Device] = n
		}
		r.FileSystems[i].Fresh = n - m.first[f.Device]
	}
	m.last = r
	return r
}

// Latest gives the last reading. One that is a minute old is worth nothing: then
// nothing is measured.
func (m *Monitor) Latest() Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken.IsZero() || time.Since(m.taken) < stale {
		return m.last
	}
	why := fmt.Sprintf("the machine has not answered since %s", m.last.When.Format(time.TimeOnly))
	return nothing(m.last.When, why)
}

// nothing is a reading of which all is unknown for the same reason.
func nothing(when time.Time, why string) Reading {
	return Reading{
		When: when, Celsius: Unknown[float64](why), UnderVoltage: Unknown[bool](why), Throttled: Unknown[bool](why),
		MemoryTotal: Unknown[int64](why), MemoryAvailable: Unknown[int64](why), Load: Unknown[float64](why), ReadOnly: Unknown[bool](why),
	}
}

// errNothing: a file of the kernel's has not what it should have.
var errNothing = errors.New("it makes no sense")
