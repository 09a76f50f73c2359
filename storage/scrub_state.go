package storage

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
)

// ScrubRound is one reading of all files.
type ScrubRound struct {
	Began    time.Time `json:"began,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Blobs    int       `json:"blobs"`
	Bytes    int64     `json:"bytes"`
	Damaged  int       `json:"damaged"`  // files that the disk had lost or changed
	Repeated int       `json:"repeated"` // files that were read wrong once, and right the second time
}

// Damage is one file that the disk had lost or changed.
type Damage struct {
	When    time.Time `json:"when"`
	Fault   Fault     `json:"fault"`
	Project string    `json:"project,omitempty"`
	What    string    `json:"what"`
}

// ScrubState is how far a scrub is, and what was found.
type ScrubState struct {
	Next    string     `json:"next,omitempty"` // first digest of the round that was not read
	Round   ScrubRound `json:"round"`          // the one under way; Began is zero where none is
	Last    ScrubRound `json:"last"`           // the last one that read everything
	Damages []Damage   `json:"damages,omitempty"`

	Running bool   `json:"running"`           // a round is under way in this process
	Held    bool   `json:"held"`              // it waits for something more important
	Trouble string `json:"trouble,omitempty"` // why the last attempt ended early
	Total   int64  `json:"total,omitempty"`   // bytes that the round under way reads, as far as it is known
}

// maxDamages is how many damages are remembered, the newest.
const maxDamages = 20

const scrubKey = "scrub"

// scrubbing keeps the state of the scrub, in memory and in the metadata.
type scrubbing struct {
	mu     sync.Mutex
	loaded bool
	state  ScrubState
}

// Scrubbed tells how far the scrub is, and what it found.
func (s *Store) Scrubbed() (ScrubState, error) {
	s.scrubs.mu.Lock()
	defer s.scrubs.mu.Unlock()
	err := s.loadScrub()
	state := s.scrubs.state
	state.Damages = slices.Clone(state.Damages)
	return state, err
}

// loadScrub reads the state when it is first asked for. s.scrubs.mu is held.
func (s *Store) loadScrub() error {
	if s.scrubs.loaded {
		return nil
	}
	raw, err := s.meta.Value(scrubKey)
	if ignoreDamaged(err) != nil {
		return err
	}
	if err != nil || raw != nil && json.Unmarshal(raw, &s.scrubs.state) != nil {
		s.scrubs.state = ScrubState{} // what cannot be read is begun anew
	}
	s.scrubs.loaded = true
	return nil
}

// editScrub changes the state in memory, and with save in the metadata too.
func (s *Store) editScrub(save bool, change func(*ScrubState)) error {
	s.scrubs.mu.Lock()
	defer s.scrubs.mu.Unlock()
	if err := s.loadScrub(); err != nil {
		return err
	}
	change(&s.scrubs.state)
	if !save {
		return nil
	}
	kept := s.scrubs.state
	kept.Running, kept.Held, kept.Total, kept.Trouble = false, false, 0, ""
	raw, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return full(s.meta.SetValue(scrubKey, raw))
}

// checked notes that a verify has read everything. On a full disk it is not noted.
func (s *Store) checked(p VerifyProgress) error {
	err := s.editScrub(true, func(state *ScrubState) {
		now := time.Now()
		state.Last = ScrubRound{Began: now, Ended: now, Blobs: p.Blobs, Bytes: p.Bytes, Damaged: p.Findings}
	})
	if errors.Is(err, ErrFull) {
		return nil
	}
	return err
}

// damage adds to what was found.
func (s *ScrubState) damage(d Damage) {
	s.Round.Damaged++
	s.Damages = append(s.Damages, d)
	s.Damages = s.Damages[max(0, len(s.Damages)-maxDamages):]
}
