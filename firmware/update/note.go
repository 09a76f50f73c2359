package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cheeseboard/firmware/machine"
	"cheeseboard/storage/durable"
)

// phase is how far an update came. It is noted before what it says can happen.
type phase string

const (
	installed phase = "installed" // the other slot holds it, whole
	armed     phase = "armed"     // the machine was about to restart into it
	started   phase = "started"   // it has started, and is on trial
	rejected  phase = "rejected"  // it judged itself: of no use, for the reason that is noted
)

// attempt is an update that was not yet accepted or refused.
type attempt struct {
	Version  Version   `json:"version"`
	From     Version   `json:"from"` // what runs where it does not
	Slot     int       `json:"slot"`
	Phase    phase     `json:"phase"`
	Baseline Baseline  `json:"baseline"`
	Reason   string    `json:"reason,omitempty"` // of rejected
	When     time.Time `json:"when,omitzero"`    // by the box's clock, which may be wrong
}

// memory is what is noted on the data partition. It outlives a rollback: there the
// version before tells what became of the one that was tried.
type memory struct {
	Format   int               `json:"format"` // 1
	Attempt  *attempt          `json:"attempt,omitempty"`
	Refused  *machine.Refused  `json:"refused,omitempty"`
	Accepted *machine.Accepted `json:"accepted,omitempty"`
}

const (
	memoryName = "update.json"
	mostJSON   = 64 << 10 // of any file that is read
)

// readMemory reads the note in a folder. No note is an empty one.
func readMemory(folder string) (memory, error) {
	path := filepath.Join(folder, memoryName)
	var m memory
	err := readJSON(path, &m)
	if errors.Is(err, fs.ErrNotExist) {
		return memory{Format: format}, nil
	}
	if err == nil && m.Format != format {
		err = fmt.Errorf("its format is %d, and this version understands %d", m.Format, format)
	}
	if err != nil {
		return memory{Format: format}, fmt.Errorf("read the note of updates %s: %w", path, err)
	}
	return m, nil
}

// readJSON reads a small file.
func readJSON(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(f, mostJSON))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// write makes the note durable.
func (m memory) write(disk *durable.Disk, folder string) error {
	raw, err := json.MarshalIndent(m, "", "\t")
	if err == nil {
		err = disk.MkdirAll(folder, 0o700)
	}
	if err == nil {
		err = disk.WriteFile(filepath.Join(folder, memoryName), append(raw, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the note of updates: %w", err)
	}
	return nil
}

// The reasons of those that could not judge themselves.
const (
	neverStarted = "it never came up after the restart: its kernel failed or hung, the power was cut, or the boot firmware cannot try a slot (an early Raspberry Pi 4 needs a newer EEPROM)"
	neverJudged  = "it was begun and never judged: it hung, its kernel failed, or the power was cut"
)

// settle says what a start means for an attempt that was under way: what is to be
// noted now, and whether this is the trial that was asked for. A slot that runs and
// is not the default without having been asked for is none.
func (m memory) settle(boot Boot, defaultSlot int, now time.Time) (next memory, trial bool) {
	a := m.Attempt
	if a == nil {
		return m, false
	}
	switch {
	case boot.Slot == a.Slot && defaultSlot == a.Slot:
		// It was committed, and the power went before this was noted.
		return m.accept(now), false
	case boot.Slot == a.Slot && (a.Phase == armed || a.Phase == started):
		b := *a
		b.Phase = started
		m.Attempt = &b
		return m, true
	case boot.Slot == a.Slot, a.Phase == installed:
		return m, false
	case a.Phase == rejected:
		return m.refuse(a.Reason, now), false
	case a.Phase == started:
		return m.refuse(neverJudged, now), false
	}
	return m.refuse(neverStarted, now), false
}

// accept ends the attempt well.
func (m memory) accept(now time.Time) memory {
	m.Accepted = &machine.Accepted{Version: m.Attempt.Version.String(), When: now}
	if m.Refused != nil {
		v, err := ParseVersion(m.Refused.Version)
		if err != nil || v.Compare(m.Attempt.Version) <= 0 {
			m.Refused = nil // who has the newer one need not know
		}
	}
	m.Attempt = nil
	return m
}

// refuse ends the attempt.
func (m memory) refuse(reason string, now time.Time) memory {
	r := machine.Refused{Version: m.Attempt.Version.String(), Reason: reason, When: now, Attempts: 1}
	if m.Refused != nil && m.Refused.Version == r.Version {
		r.Attempts += m.Refused.Attempts
	}
	m.Refused, m.Attempt = &r, nil
	return m
}
