// Package machine is how the program and the init of the image talk: HTTP over a
// Unix socket that init makes, and that only root and the program's user can open.
//
// Init has what the program must not have: the card's partitions, the network's
// settings, the power. The program has the people. So the program asks, and init,
// behind a Keeper, judges what it is asked for: a bundle is believed for its
// signature only, whoever brings it.
//
//	GET  /state          State
//	PUT  /update?again=1 a bundle (firmware/update/FORMAT.md), answered by a Line of JSON for each step
//	POST /restart?how=   "reboot", "poweroff", or "trial": into the slot that was installed
//	POST /network/reset  network settings begin anew
//	PUT  /pin            text that a person finds on the first partition; DELETE takes it away
package machine

import (
	"context"
	"io"
	"time"
)

// Env names the variable by which init tells the program its socket. Without it
// there is no init of ours, and what depends on it is absent.
const Env = "CHEESEBOARD_MACHINE"

// GateEnv names the variable by which init tells the program of a gate: the number of a
// file descriptor, the end of a pipe. The program may be started before there is what it
// works on; then it waits there until a byte has come. Where the pipe ends without one, it
// is not wanted any more.
const GateEnv = "CHEESEBOARD_MACHINE_GATE"

// Socket is where init makes it.
const Socket = "/run/cheeseboard/machine.sock"

// ConsoleOnly begins a line of the program's output that is for who stands before the
// machine: init shows what follows on the console, and keeps it nowhere.
const ConsoleOnly = "console only: "

// State is what init knows of the machine.
type State struct {
	Version string `json:"version"`        // of the slot that runs
	Board   string `json:"board"`          // for which it was made: a bundle must name the same
	Slot    int    `json:"slot,omitempty"` // the partition that runs, 2 or 3; 0 where the boot firmware does not tell

	Trial    *Trial    `json:"trial,omitempty"`    // the running slot is not yet judged
	Waiting  *Waiting  `json:"waiting,omitempty"`  // the other slot holds a version that waits for its trial
	Refused  *Refused  `json:"refused,omitempty"`  // the last version that was tried and rolled back
	Accepted *Accepted `json:"accepted,omitempty"` // the last version that was committed
	// NoUpdate says why this machine cannot be updated at all; "" where it can.
	NoUpdate string `json:"no_update,omitempty"`

	Hostname  string    `json:"hostname"`
	Addresses []Address `json:"addresses"`
	Config    []string  `json:"config,omitempty"` // what was wrong in cheeseboard.toml, one sentence each
	Data      Data      `json:"data"`
	Program   Program   `json:"program"`
}

// Trial is a slot on trial: until it is judged, any reboot goes back to the other.
type Trial struct {
	Since time.Duration `json:"since"` // how long the machine is up
	// Missing says what is still missing for the commit, for a person; "" while the
	// good state only has to last.
	Missing string        `json:"missing,omitempty"`
	Within  time.Duration `json:"within"` // until the deadline
}

// Waiting is an installed version whose trial did not begin yet.
type Waiting struct {
	Version string `json:"version"`
	Slot    int    `json:"slot"`
}

// Refused is a version that was tried and not kept.
type Refused struct {
	Version  string    `json:"version"`
	Reason   string    `json:"reason"` // a sentence
	When     time.Time `json:"when,omitzero"`
	Attempts int       `json:"attempts"` // how often it was tried
}

// Accepted is a version that was committed.
type Accepted struct {
	Version string    `json:"version"`
	When    time.Time `json:"when,omitzero"`
}

// Address is one of the machine's own.
type Address struct {
	Interface string `json:"interface"`
	Address   string `json:"address"` // without the prefix's length
	From      string `json:"from"`    // "dhcp", "static", "link-local", "router"
}

// Data is the state of the data partition.
type Data struct {
	// State is "clean", "repaired", "aside" (begun anew), "read-only" (it cannot be written
	// any more, and what is there is served), or "memory" (not there at all).
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"` // what was found and done, for a person
	Size   int64  `json:"size"`             // bytes; 0 where it is not there
}

// Program is how the supervised program fares.
type Program struct {
	Restarts int    `json:"restarts"`       // since the machine started
	Last     string `json:"last,omitempty"` // why it ended last: "exit status 1", "killed by SIGSEGV", "watchdog"
}

// How a machine is to go down.
type How string

// The ways to go down. TryOther restarts into the slot that was installed last.
const (
	Reboot   How = "reboot"
	PowerOff How = "poweroff"
	TryOther How = "trial"
)

// UpdateOptions are those of one installation.
type UpdateOptions struct {
	// Again also installs a version that is not newer than the one that runs, down
	// to the floor that this one states.
	Again bool
	// Size is the length of the bundle in bytes, for progress; -1 where it is unknown.
	Size int64
}

// Progress is how far an installation is.
type Progress struct {
	Stage string `json:"stage"` // "write", then "check"
	Done  int64  `json:"done"`  // bytes of the slot
	Total int64  `json:"total"`
}

// Installed is a bundle that now lies in the other slot, read back.
type Installed struct {
	Version string `json:"version"`
	Slot    int    `json:"slot"`
}

// Keeper is what init does for the program. Its methods may be called concurrently.
type Keeper interface {
	// State is quick, and waits for nobody.
	State() State
	// Update installs a bundle into the slot that does not run. When it returns nil,
	// the slot is durable and was read back; nothing else has changed, and the
	// machine goes on in the slot that runs. A *Refusal says why a bundle was not
	// taken; then, or after any other error, the other slot cannot be started.
	Update(ctx context.Context, bundle io.Reader, o UpdateOptions, report func(Progress)) (Installed, error)
	// Restart begins to take the machine down in order and returns at once. TryOther
	// without an installed slot is an error, and so is anything but PowerOff and
	// Reboot while an installation is under way.
	Restart(how How) error
	// ResetNetwork has the settings of the network begin anew: those of DHCP. It
	// takes effect with the next start.
	ResetNetwork() error
	// PIN writes a text to PIN.txt on the first partition, durably; "" removes it.
	PIN(text string) error
}

// Refusal is an error that is the fault of what was brought, or of the moment.
type Refusal struct {
	Kind RefusalKind
	Text string // a sentence for people, with what to do next
}

// RefusalKind tells refusals apart for programs.
type RefusalKind string

// The kinds of refusals.
const (
	BadFormat    RefusalKind = "format"    // no bundle, or bounds were broken
	BadSignature RefusalKind = "signature" // nobody whom this machine trusts has signed it
	WrongBoard   RefusalKind = "board"
	TooOld       RefusalKind = "older" // below the floor, or not newer without Again
	TooLarge     RefusalKind = "large" // for the slot
	Corrupt      RefusalKind = "corrupt"
	Truncated    RefusalKind = "truncated"
	NotNow       RefusalKind = "busy" // another installation or a trial is under way
	NoSlots      RefusalKind = "slots"
)

// Error gives the sentence.
func (r *Refusal) Error() string { return r.Text }
