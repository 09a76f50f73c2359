package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"cheeseboard/firmware/health"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/mirror"
)

// Status is what `cheeseboard status --json` prints.
type Status struct {
	Version  string               `json:"version"`
	Serving  bool                 `json:"serving"` // a box answers; false: read from the data folder
	Started  time.Time            `json:"started,omitzero"`
	Data     string               `json:"data"`
	Settings string               `json:"settings"` // fingerprint of those that a sync goes by
	Health   health.Verdict       `json:"health"`
	Store    storage.Totals       `json:"store"`
	Cache    storage.CachedTotals `json:"cache"`
	Partials []Partial            `json:"partials"` // downloads that will go on
	Sync     syncer.Status        `json:"sync"`
	Indexes  []IndexStatus        `json:"indexes,omitempty"`     // beside the default one
	Root     string               `json:"root_sha256,omitempty"` // fingerprint of the root certificate; "" for none
	Scrub    Scrub                `json:"scrub"`
	Machine  *MachineState        `json:"machine,omitempty"`  // nil: the init is not ours, or does not answer
	Releases *Releases            `json:"releases,omitempty"` // nil: nobody is asked
	Import   *ImportStatus        `json:"import,omitempty"`   // from a USB stick; nil: there was none since the start
	Record   []link.Event         `json:"record"`             // what became of the line lately, the newest last
}

// Scrub is what reading the files again has found.
type Scrub struct {
	storage.ScrubState
	Off  bool `json:"off"`  // storage.scrub-rate is 0
	Lost int  `json:"lost"` // files that the disk lost or changed, and that are not here again
}

// fingerprint tells settings apart by which a sync would do other things.
func fingerprint(c Config) string {
	raw, err := json.Marshal([]any{c.Upstream, c.Index, c.Line, c.Policy, c.Sync, c.Storage, c.Private})
	if err != nil {
		panic(fmt.Sprintf("settings cannot be written as JSON: %v", err)) // a bug: they are plain values
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// recentEvents is how much of the record a Status shows.
const recentEvents = 20

// Partial is a download that will go on where it stopped.
type Partial struct {
	Digest string `json:"sha256"`
	Have   int64  `json:"have"`
	Size   int64  `json:"size"` // -1 where it is not known
}

// Status gathers the state of an open box.
func (a *App) Status() (Status, error) {
	_, leave, err := a.enter(context.Background())
	if err != nil {
		return Status{}, err
	}
	defer leave()
	s := Status{Version: Version, Data: a.Store.Dir(), Settings: fingerprint(a.config), Health: a.Health.Verdict(), Partials: []Partial{}}
	if s.Store, err = a.Store.Totals(); err != nil {
		return s, err
	}
	if s.Cache, err = a.Store.Cached(); err != nil {
		return s, err
	}
	s.Root = a.rootFingerprint()
	if m, known := a.updates.now(); known {
		s.Machine = &m
	}
	s.Releases, s.Import = a.releases(), a.Imported()
	waiting, err := a.Store.Waiting()
	if err != nil {
		return s, err
	}
	for _, w := range waiting {
		s.Partials = append(s.Partials, Partial{Digest: w.Digest.String(), Have: w.Have, Size: w.Size})
	}
	s.Scrub.Off = a.config.Storage.ScrubRate == 0
	if s.Scrub.ScrubState, err = a.Store.Scrubbed(); err != nil {
		return s, err
	}
	lost, err := a.Store.Lost()
	if err != nil {
		return s, err
	}
	s.Scrub.Lost = len(lost)
	if s.Record, err = a.record.recent(recentEvents); err != nil {
		return s, err
	}
	if s.Sync, err = a.Engine.Status(); err != nil {
		return s, err
	}
	s.Indexes, err = a.indexes()
	return s, err
}

// Source is one that gives files: a mirror, or a host of files in trouble.
type Source = mirror.Status

// SizeUnknown is the Size of a Partial whose length is not known.
const SizeUnknown = pypi.SizeUnknown
