// Package health gathers what the parts of the box say of themselves into one
// verdict, which the page, the LED, the console and the watchdog read alike.
package health

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Severity is how bad a finding is.
type Severity int

// NotMeasured is that of a probe that cannot tell: neither good nor bad.
const NotMeasured Severity = -1

// none is that of a probe that was not asked yet.
const none Severity = -2

// The severities, the worst last.
const (
	OK        Severity = iota
	Reduced            // still serving what is here; something is out of reach
	Attention          // a person should act soon
	Failed             // cannot serve
)

// String is the severity's name in JSON and in logs.
func (s Severity) String() string {
	switch s {
	case NotMeasured:
		return "not measured"
	case OK:
		return "ok"
	case Reduced:
		return "reduced"
	case Attention:
		return "attention"
	}
	return "failed"
}

// MarshalText gives String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText gave.
func (s *Severity) UnmarshalText(text []byte) error {
	for *s = NotMeasured; *s <= Failed; *s++ {
		if s.String() == string(text) {
			return nil
		}
	}
	return fmt.Errorf("parse severity: there is none called %q", text)
}

// Finding is what one probe says now.
type Finding struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`          // one sentence for people
	Action   string   `json:"action,omitempty"` // the one next thing to do; "" where there is none
}

// Result is a finding with its probe's name and age.
type Result struct {
	Name string `json:"name"`
	Finding
	Since time.Time `json:"since"` // when the severity last changed
}

// Verdict is the whole.
type Verdict struct {
	Severity Severity  `json:"status"`
	Summary  string    `json:"summary"` // of the worst probe
	Action   string    `json:"action,omitempty"`
	Since    time.Time `json:"since"`
	Probes   []Result  `json:"probes"` // in the order in which they were added
}

// Board holds the probes. It is safe for concurrent use; the zero value is an
// empty board.
type Board struct {
	Now func() time.Time // nil: the clock

	mu     sync.Mutex
	names  []string
	probes []func() Finding
	last   []Result
}

// Add puts a probe on the board. It is called for each verdict and must be quick
// and safe for concurrent use.
func (b *Board) Add(name string, probe func() Finding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names, b.probes = append(b.names, name), append(b.probes, probe)
	b.last = append(b.last, Result{Name: name, Finding: Finding{Severity: none}})
}

// Verdict asks every probe.
func (b *Board) Verdict() Verdict {
	b.mu.Lock()
	probes := slices.Clone(b.probes)
	b.mu.Unlock()
	findings := make([]Finding, len(probes))
	for i, probe := range probes {
		findings[i] = probe()
	}
	now := time.Now
	if b.Now != nil {
		now = b.Now
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v := Verdict{Severity: OK, Summary: "all well", Probes: make([]Result, len(findings))}
	for i, f := range findings {
		r := &b.last[i]
		if r.Severity != f.Severity {
			r.Since = now()
		}
		r.Finding = f
		v.Probes[i] = *r
		if f.Severity == NotMeasured {
			continue
		}
		if v.Since.IsZero() || f.Severity > v.Severity || f.Severity == v.Severity && r.Since.After(v.Since) && f.Severity == OK {
			v.Since = r.Since
		}
		if f.Severity > v.Severity {
			v.Severity, v.Summary, v.Action = f.Severity, f.Summary, f.Action
		}
	}
	return v
}
