package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cheeseboard/firmware/certs"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/keyring"
	"cheeseboard/httpd/admin"
	"cheeseboard/httpd/throttle"
	"cheeseboard/storage"
)

const passphraseKey = "passphrase"

// adminGuesses is how many wrong passphrases of all clients together are tried in a
// minute before everybody waits.
const adminGuesses = 10

// administration is what the admin part of the front may do.
type administration struct {
	app   *App
	store *storage.Store
	epoch atomic.Uint64
	self  self

	setting sync.Mutex // held while a passphrase is made that of the box
}

// newAdmin makes the admin part; nil where the settings want none.
func (a *App) newAdmin(c config.Config, store *storage.Store) (*administration, http.Handler) {
	if !c.Access.Admin {
		return nil, nil
	}
	box := &administration{app: a, store: store, self: self{names: a.calledNames}}
	return box, admin.New(admin.Deps{Box: box, Updates: box, Throttle: throttle.New(throttle.Options{Together: adminGuesses}), Log: a.log})
}

// Passphrase implements admin.Box.
func (b *administration) Passphrase(s string) (bool, error) {
	hash, err := b.store.Value(passphraseKey)
	switch {
	case err != nil && !errors.Is(err, storage.ErrDamaged):
		return false, err
	case hash == nil || err != nil:
		return false, admin.ErrUnset
	}
	right := keyring.IsPassphrase(string(hash), s)
	if right {
		b.app.usedPassphrase()
	}
	return right, nil
}

// Epoch implements admin.Box.
func (b *administration) Epoch() uint64 { return b.epoch.Load() }

// State implements admin.Box.
func (b *administration) State() (any, string, error) {
	s, err := b.app.Status()
	if err != nil {
		return nil, "", err
	}
	s.Serving = true
	sentence := fmt.Sprintf("%s: %s. %d files of %d projects are here. %s", s.Health.Severity, s.Health.Summary, s.Store.Files, s.Store.Projects, s.Sync.Line.Sentence)
	if s.Import != nil {
		sentence += " " + s.Import.String()
	}
	return s, sentence, nil
}

// Sync implements admin.Box.
func (b *administration) Sync() { b.app.Engine.Poke() }

// Import implements admin.Box.
func (b *administration) Import() error { return b.app.Import() }

// Clock implements admin.Box.
func (b *administration) Clock(now time.Time) error { return b.app.SetClock(now) }

// Called implements admin.Box.
func (b *administration) Called(host string) bool { return b.self.called(host) }

// self knows what the box is called, and looks again now and then.
type self struct {
	names func() []string // that people call it by, beside the machine's

	mu     sync.Mutex
	who    certs.Identity
	looked time.Time
}

const lookAtSelf = 15 * time.Second

func (s *self) called(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.looked) > lookAtSelf {
		s.who, s.looked = identity(s.names()...), now
	}
	if ip := net.ParseIP(host); ip != nil {
		return slices.ContainsFunc(s.who.Addresses, ip.Equal)
	}
	return slices.Contains(s.who.Names, host)
}

// renew makes a passphrase for the box, and has it shown until it is first used.
func (b *administration) renew() (string, error) {
	b.setting.Lock()
	defer b.setting.Unlock()
	return b.renewHeld()
}

// renewHeld is renew for who holds setting.
func (b *administration) renewHeld() (string, error) {
	made := keyring.GeneratePassphrase()
	if err := b.app.madePassphrase(made); err != nil {
		return made, err
	}
	return made, b.setHeld(made)
}

// set makes a passphrase that of the box, and ends all sessions.
func (b *administration) set(passphrase string) error {
	b.setting.Lock()
	defer b.setting.Unlock()
	return b.setHeld(passphrase)
}

// setHeld is set for who holds setting.
func (b *administration) setHeld(passphrase string) error {
	if err := keyring.CheckPassphrase(passphrase); err != nil {
		return err
	}
	err := b.store.SetValue(passphraseKey, []byte(keyring.HashPassphrase(passphrase)))
	if err == nil {
		b.epoch.Add(1)
	}
	return err
}

// firstPassphrase makes one where none is set, for the console to show this once. Somebody
// may set one meanwhile, at a console: that holds.
func (a *App) firstPassphrase() (string, error) {
	if a.admin == nil || a.Store.ReadOnly() {
		return "", nil
	}
	a.admin.setting.Lock()
	defer a.admin.setting.Unlock()
	hash, err := a.Store.Value(passphraseKey)
	if err != nil && !errors.Is(err, storage.ErrDamaged) || hash != nil && err == nil {
		return "", err
	}
	made, err := a.admin.renewHeld()
	if errors.Is(err, storage.ErrFull) {
		return "", nil // the next start makes one
	}
	return made, err
}

// FirstPassphrase is the passphrase for administration that was made since none was
// set; "" where there was one, or the settings want no administration. It is for when
// Serve has called ready, and is kept only where an init of ours shows it until it is
// first used (until).
func (a *App) FirstPassphrase() (passphrase string, until bool) {
	if p := a.first.shown(); p != "" {
		return p, true
	}
	return a.fresh, false
}

// NewPassphrase is what the command passphrase wants set; "" has one made.
type NewPassphrase struct {
	Passphrase string `json:"passphrase"`
}

// servePassphrase sets a passphrase that comes through the control socket.
func (a *App) servePassphrase(w http.ResponseWriter, r *http.Request) {
	var o NewPassphrase
	err := json.NewDecoder(r.Body).Decode(&o)
	if err == nil {
		o, err = a.setPassphrase(o)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.sendJSON(w, o)
}

func (a *App) setPassphrase(o NewPassphrase) (NewPassphrase, error) {
	if a.admin == nil {
		return o, errors.New("there is no administration here: access.admin is off")
	}
	if o.Passphrase == "" {
		o.Passphrase = keyring.GeneratePassphrase()
	}
	return o, a.choosePassphrase(o.Passphrase)
}

// choosePassphrase sets one that somebody chose: never an empty one.
func (a *App) choosePassphrase(passphrase string) error {
	if a.admin == nil {
		return errors.New("there is no administration here: access.admin is off")
	}
	err := a.admin.set(passphrase)
	if err == nil {
		a.usedPassphrase()
	}
	return err
}

// RunPassphrase sets the passphrase for administration: in the box that serves this
// data folder, or by itself. It gives it back, also where it was made.
func RunPassphrase(ctx context.Context, c config.Config, log *slog.Logger, passphrase string) (set string, err error) {
	if passphrase != "" {
		if err := keyring.CheckPassphrase(passphrase); err != nil {
			return "", err
		}
	}
	if c, err = located(c); err != nil {
		return "", err
	}
	o := NewPassphrase{passphrase}
	if remote, ok := dial(ctx, c.Data); ok {
		err = remote.order(ctx, "/passphrase", o, &o)
		return o.Passphrase, err
	}
	err = once(c, log, false, func(a *App) (err error) {
		o, err = a.setPassphrase(o)
		return err
	})
	return o.Passphrase, err
}
