package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"cheeseboard/firmware/machine"
	"cheeseboard/storage"
)

// FindMachine gives the init of our image, where the environment names its socket; nil
// where another init has started this program.
func FindMachine() *machine.Client {
	if socket := os.Getenv(machine.Env); socket != "" {
		return machine.NewClient(socket)
	}
	return nil
}

// AwaitMachine waits until an init of ours has brought up what the program works on, where
// it has started it before. Until it returns without an error, nothing must touch the data.
func AwaitMachine(ctx context.Context) error { return machine.AwaitGate(ctx) }

// ConsoleOnly begins a line for the console of a machine with an init of ours, which keeps
// it nowhere.
const ConsoleOnly = machine.ConsoleOnly

// UseMachine has the box ask an init of ours for what only that may do: nil is none. It
// is called before Install and Serve.
func (a *App) UseMachine(m *machine.Client) {
	a.machine = m
	if m != nil {
		a.Health.Add("update", a.probeUpdate)
		a.Health.Add("data partition", a.probeData)
	}
}

// useMachine gives the panel what init does for it.
func (p *Panel) useMachine(m *machine.Client) {
	p.Network = func() error { return m.ResetNetwork(context.Background()) }
	p.PowerOff = func() error { return m.Restart(context.Background(), machine.PowerOff) }
}

const (
	// firstKey is what is known of a passphrase that the box has made itself, until it is
	// used or another is set.
	firstKey = "first-passphrase"
	// firstRetry is the time between two tries to have init write it down.
	firstRetry = time.Minute
)

// first is a passphrase that the box has made, under an init of ours. It lies in clear
// on the first partition of the card, for whoever put the card in, and the box shows it
// on its console, until it is first used. All but its own lock is for one goroutine.
type first struct {
	mu      sync.Mutex
	now     string        // "": it was used, or is none of ours
	changed chan struct{} // holds one

	writing sync.Mutex // what is kept of it
}

func newFirst() *first { return &first{changed: make(chan struct{}, 1)} }

// shown is the passphrase while it may be shown; else "".
func (f *first) shown() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *first) set(passphrase string) {
	f.mu.Lock()
	f.now = passphrase
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default: // it is looked at anyway
	}
}

// kept is what the store keeps under firstKey.
type kept struct {
	Passphrase string `json:"passphrase,omitempty"` // "": the file is to go
	Written    bool   `json:"written"`              // the file says so
}

func (a *App) firstKept() (kept, bool, error) {
	raw, err := a.Store.Value(firstKey)
	if errors.Is(err, storage.ErrDamaged) || err == nil && raw == nil {
		return kept{}, false, nil
	}
	var k kept
	if err == nil && json.Unmarshal(raw, &k) != nil {
		return kept{}, false, nil
	}
	return k, err == nil, err
}

func (a *App) keepFirst(k kept) error {
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	a.first.writing.Lock()
	defer a.first.writing.Unlock()
	return a.Store.SetValue(firstKey, raw)
}

// settled keeps what has become of was; nil: nothing is to be kept any more. Where
// another passphrase came in between, that one counts.
func (a *App) settled(was kept, raw []byte) error {
	a.first.writing.Lock()
	defer a.first.writing.Unlock()
	now, _, err := a.firstKept()
	if err != nil || now != was {
		return err
	}
	return a.Store.SetValue(firstKey, raw)
}

// madePassphrase notes a passphrase that the box has made, before it is set: what is set is then
// known, whatever comes in between.
func (a *App) madePassphrase(passphrase string) error {
	if a.machine == nil {
		return nil
	}
	err := a.keepFirst(kept{Passphrase: passphrase})
	if err == nil {
		a.first.set(passphrase)
	}
	return err
}

// usedPassphrase notes that the passphrase of the box is known to a person: the first one is shown
// no more.
func (a *App) usedPassphrase() {
	if a.first.shown() == "" {
		return
	}
	if err := a.keepFirst(kept{}); err != nil {
		a.log.Warn("that the first passphrase was used could not be written down", "reason", err)
		return
	}
	a.first.set("")
}

// recallFirst finds what an earlier run has left.
func (a *App) recallFirst() {
	if a.machine == nil || a.admin == nil || a.Store.ReadOnly() {
		return
	}
	k, _, err := a.firstKept()
	if err != nil {
		a.log.Warn("the first passphrase cannot be recalled", "reason", err)
	}
	if k.Passphrase != "" {
		a.first.set(k.Passphrase)
	}
}

// tendFirst has init write the first passphrase down, and take it away once it was used,
// until ctx ends. What fails is tried again.
func (a *App) tendFirst(ctx context.Context) {
	if a.machine == nil {
		return
	}
	ticker := time.NewTicker(firstRetry)
	defer ticker.Stop()
	select {
	case <-a.first.changed: // it is looked at now
	default:
	}
	failed := ""
	for {
		why := ""
		if err := a.during(func() error { return a.settleFirst(ctx) }); err != nil && ctx.Err() == nil {
			if why = err.Error(); why != failed {
				a.log.Warn("the first passphrase on the card is not as it should be", "reason", err)
			}
		}
		failed = why
		select {
		case <-ctx.Done():
			return
		case <-a.first.changed:
		case <-ticker.C:
		}
	}
}

func (a *App) settleFirst(ctx context.Context) error {
	k, known, err := a.firstKept()
	switch {
	case err != nil || !known || k.Written:
		return err
	case k.Passphrase == "":
		if err := a.machine.PIN(ctx, ""); err != nil {
			return err
		}
		return a.settled(k, nil)
	}
	if err := a.machine.PIN(ctx, firstText(k.Passphrase)); err != nil {
		return err
	}
	raw, err := json.Marshal(kept{k.Passphrase, true})
	if err != nil {
		return err
	}
	return a.settled(k, raw)
}

// firstText is what a person finds on the card.
func firstText(passphrase string) string {
	return strings.Join([]string{
		"The passphrase of this box: " + passphrase,
		"", "It is for administration, at the address of the box with /admin/ behind it, and for the console.",
		"This file goes away once it was used.", "",
	}, "\r\n") // for a laptop with Windows, too
}

// firstNotice tells at the console what the passphrase is, while that may be told.
func (a *App) firstNotice() []string {
	if p := a.first.shown(); p != "" {
		return []string{fmt.Sprintf("The passphrase (PIN) is %s until it is first used.", p)}
	}
	return nil
}
