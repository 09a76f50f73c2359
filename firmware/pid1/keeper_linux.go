package pid1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/pid1/disk"
	"cheeseboard/firmware/update"
	"cheeseboard/storage/durable"
)

// keeper does for the program what only init may do (machine.Keeper).
type keeper struct{ *box }

// serveMachine answers on a socket until ctx ends.
func (b *box) serveMachine(ctx context.Context, l net.Listener) {
	server := &http.Server{Handler: machine.NewHandler(keeper{b}, b.log), ReadHeaderTimeout: 10 * time.Second}
	b.begin("socket", func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.log.Error("the program cannot speak to init any more", "reason", err)
		}
	})
	b.begin("socket's end", func() {
		<-ctx.Done()
		if err := server.Close(); err != nil {
			b.log.Debug("the socket could not be closed", "reason", err)
		}
	})
}

// State implements machine.Keeper.
func (k keeper) State() machine.State {
	b := k.box
	net := b.network.State()
	s := machine.State{
		Version: b.release.Version.String(), Board: b.release.Board, Slot: b.boot.Slot,
		Hostname: net.Hostname, Config: b.wrong, Data: b.dataState(), Addresses: []machine.Address{},
	}
	for _, a := range net.Addresses {
		s.Addresses = append(s.Addresses, machine.Address{Interface: a.Interface, Address: a.Addr.String(), From: string(a.From)})
	}
	if k := b.keeper.Load(); k != nil {
		now := k.State()
		s.Program = machine.Program{Restarts: now.Restarts, Last: now.Last}
	}
	if s.Program.Last == "" {
		s.Program.Last = b.notes.get().Program // from before this start
	}
	b.updater.Describe(&s)
	return s
}

// Update implements machine.Keeper.
func (k keeper) Update(ctx context.Context, bundle io.Reader, o machine.UpdateOptions, report func(machine.Progress)) (machine.Installed, error) {
	return k.updater.Install(ctx, bundle, o, report)
}

// Restart implements machine.Keeper.
func (k keeper) Restart(how machine.How) error {
	if how == machine.TryOther {
		if err := k.updater.Arm(k.signs().Baseline()); err != nil {
			return err
		}
	}
	if !k.order(how, "") && how == machine.TryOther {
		return errors.Join(errors.New("the machine goes down already"), k.updater.Disarm())
	}
	return nil
}

// ResetNetwork implements machine.Keeper: the settings stay as they are in the file, for
// whoever wants to look, under another name, and hold no more.
func (k keeper) ResetNetwork() error {
	return k.onBoot(func() error {
		text, err := os.ReadFile(settingsFile)
		if errors.Is(err, os.ErrNotExist) {
			return nil // nothing is set
		}
		if err != nil {
			return fmt.Errorf("read the settings: %w", err)
		}
		return replaceOn(bootFolder, filepath.Base(settingsFile), withoutTable(text, "network"))
	})
}

// PIN implements machine.Keeper.
func (k keeper) PIN(text string) error {
	if pinIs(pinFile, text) {
		return nil // a card is not written for nothing
	}
	return k.onBoot(func() error {
		if text != "" {
			return replaceOn(bootFolder, filepath.Base(pinFile), []byte(text))
		}
		d := &durable.Disk{}
		return errors.Join(d.Remove(pinFile), d.Remove(pinFile+halfWritten))
	})
}

// halfWritten ends the name of a file that durable was writing when the power went.
const halfWritten = ".new"

// pinIs tells whether the file says so, or for "" that nothing of it is there: a cut leaves
// the half of one behind, too.
func pinIs(path, text string) bool {
	old, err := os.ReadFile(path)
	_, half := os.Stat(path + halfWritten)
	return err == nil && string(old) == text || text == "" && errors.Is(err, os.ErrNotExist) && errors.Is(half, os.ErrNotExist)
}

// onBoot does something with the first partition while that is writable.
func (b *box) onBoot(do func() error) error {
	b.booting.Lock()
	defer b.booting.Unlock()
	if b.cardErr != nil {
		return b.cardErr
	}
	return writing(bootFolder, do)
}

// replaceOn puts a file in place of another, in a folder of FAT: a cut leaves one of them.
func replaceOn(folder, name string, text []byte) error {
	return (&durable.Disk{}).WriteFile(filepath.Join(folder, name), text, 0o644)
}

// signs are what a trial is judged by.
func (b *box) signs() update.Signs {
	s := update.Signs{Up: sinceBoot()}
	for _, a := range b.network.State().Addresses {
		s.Network = s.Network || a.From != "link-local"
	}
	if k := b.keeper.Load(); k != nil {
		now := k.State()
		s.Ready, s.Restarts, s.Ended = now.Ready, now.Restarts, now.Last
		if now.LastAt.After(now.Since) { // it has ended, and waits to be started again
			s.Restarts++
		}
	}
	s.Healthy, s.Health = b.askHealth()
	if s.Health == "" && (b.data.Condition == disk.Memory || b.data.Condition == disk.ReadOnly) {
		s.Health = b.data.Detail
	}
	return s
}
