package app

import (
	"cheeseboard/storage"
	"cheeseboard/syncer"
)

// Event is one line of a command's progress or result, the same whether the
// command runs by itself or in the box that is serving. One field is set.
type Event struct {
	Sync     *syncer.Progress        `json:"sync,omitempty"`
	Synced   *syncer.Summary         `json:"synced,omitempty"` // the end of a sync
	Verify   *storage.VerifyProgress `json:"verify,omitempty"`
	Verified *storage.VerifyProgress `json:"verified,omitempty"` // the end of a verify
	Move     *storage.MoveProgress   `json:"move,omitempty"`
	Moved    *Moved                  `json:"moved,omitempty"` // the end of a move
	Update   *UpdateProgress         `json:"update,omitempty"`
	Updated  *Updated                `json:"updated,omitempty"`  // the end of an update
	Restored *storage.Restored       `json:"restored,omitempty"` // the end of a restore
	Finding  *storage.Finding        `json:"finding,omitempty"`
	Problem  *syncer.Problem         `json:"problem,omitempty"`
	Note     string                  `json:"note,omitempty"`  // what a person should know
	Error    string                  `json:"error,omitempty"` // the command failed, and why
	Kind     string                  `json:"kind,omitempty"`  // of the error, for the other end of the socket
}

// SyncProgress is how far a sync is.
type SyncProgress = syncer.Progress

// Cost is what a sync would bring.
type Cost = syncer.Cost

// SyncOptions are those of the command.
type SyncOptions struct {
	AcceptRemovals bool `json:"accept_removals"`
	// Plan: only find out what it would bring, and what that costs.
	Plan bool `json:"plan"`
}

// VerifyOptions are those of the command.
type VerifyOptions struct {
	Repair  bool `json:"repair"`
	Restart bool `json:"restart"`
	// Unclaimed: with Repair, remove also what no page names where the metadata
	// were lost: every page that is wanted has been fetched again.
	Unclaimed bool `json:"unclaimed"`
}
