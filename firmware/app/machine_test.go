package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/board/button"
	"cheeseboard/firmware/machine"
)

// keeper is an init that tells what it was asked for.
type keeper struct {
	machine.Keeper // no more is asked for
	asked          chan string
	refuse         chan struct{} // a PIN is refused for each
}

func (k *keeper) PIN(text string) error {
	select {
	case <-k.refuse:
		k.asked <- "refused"
		return errors.New("the card is gone")
	default:
	}
	k.asked <- "pin " + text
	return nil
}

func (k *keeper) State() machine.State {
	return machine.State{Version: "1.0.0", NoUpdate: "it has no slots"}
}

func (k *keeper) ResetNetwork() error { k.asked <- "network"; return nil }

func (k *keeper) Restart(how machine.How) error { k.asked <- "restart " + string(how); return nil }

// next is what it is asked for next.
func (k *keeper) next(t *testing.T) string {
	t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case asked := <-k.asked:
		return asked
	case <-timer.C:
		t.Fatal("init is not asked for anything")
		return ""
	}
}

func newKeeper(t *testing.T) (*keeper, *machine.Client) {
	t.Helper()
	k := &keeper{asked: make(chan string, 10), refuse: make(chan struct{}, 1)}
	socket := filepath.Join(t.TempDir(), "machine.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: machine.NewHandler(k, nil)}}
	server.Start()
	t.Cleanup(server.Close)
	t.Setenv(machine.Env, socket)
	return k, FindMachine()
}

// boxUnder serves a box under an init, with a panel, until end.
func boxUnder(t *testing.T, folder string, m *machine.Client) (box *App, p *Panel, do *presses, end func()) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	c := panelConfig(folder, "")
	box, err := Open(c, log)
	if err != nil {
		t.Fatal(err)
	}
	p = OpenPanel(c, log)
	ctx, cancel := context.WithCancel(t.Context())
	box.UseMachine(m)
	box.Install(p, cancel)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- box.Serve(ctx, func(net.Addr) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return box, p, &presses{box, p, cancel}, func() {
		t.Helper()
		cancel()
		err := errors.Join(<-ended, box.Close())
		if err := errors.Join(err, p.Close(err)); err != nil {
			t.Error(err)
		}
	}
}

// TestFirstPassphrase: it lies on the card, and is shown, until it is first used; over
// starts, and where the card cannot be written at first.
func TestFirstPassphrase(t *testing.T) {
	folder := t.TempDir()
	k, m := newKeeper(t)
	k.refuse <- struct{}{}
	box, _, _, end := boxUnder(t, folder, m)
	made, until := box.FirstPassphrase()
	if made == "" || !until || k.next(t) != "refused" {
		t.Fatalf("got %q, %v", made, until)
	}
	end()

	box, _, do, end := boxUnder(t, folder, m)
	if again, until := box.FirstPassphrase(); again != made || !until {
		t.Errorf("after another start: %q, %v; want %q", again, until, made)
	}
	if text := k.next(t); !strings.Contains(text, made+"\r\n") {
		t.Errorf("the card says %q", text)
	}
	if notice := box.firstNotice(); len(notice) != 1 || !strings.Contains(notice[0], made) {
		t.Errorf("the console says %q", notice)
	}
	if right, err := box.admin.Passphrase("wrong"); right || err != nil || box.first.shown() == "" {
		t.Errorf("a wrong one: %v, %v", right, err)
	}
	if right, err := box.admin.Passphrase(made); !right || err != nil {
		t.Errorf("the right one: %v, %v", right, err)
	}
	if asked := k.next(t); asked != "pin " {
		t.Errorf("after it was used: %q", asked)
	}
	if box.firstNotice() != nil {
		t.Error("it is still shown")
	}

	// Network settings and passphrase begin anew.
	do.Pressed(button.Hold15)
	if asked := k.next(t); asked != "network" {
		t.Errorf("held for 15 s: %q", asked)
	}
	anew, _ := box.FirstPassphrase()
	if asked := k.next(t); anew == made || !strings.Contains(asked, anew+"\r\n") {
		t.Errorf("the card says %q, the box %q", asked, anew)
	}
	if err := box.choosePassphrase("something else"); err != nil {
		t.Fatal(err)
	}
	if asked := k.next(t); asked != "pin " {
		t.Errorf("after another was set: %q", asked)
	}
	end()

	box, _, _, end = boxUnder(t, folder, m)
	defer end()
	if made, _ := box.FirstPassphrase(); made != "" {
		t.Errorf("it comes back: %q", made)
	}
}

// TestMachineGoesOff: after 5 s the box ends, and init switches the machine off.
func TestMachineGoesOff(t *testing.T) {
	k, m := newKeeper(t)
	_, _, do, end := boxUnder(t, t.TempDir(), m)
	k.next(t) // the passphrase
	do.Pressed(button.Hold5)
	end()
	if asked := k.next(t); asked != "restart poweroff" {
		t.Errorf("init was asked for %q", asked)
	}
}

// TestNoMachine: under another init the first passphrase is kept nowhere.
func TestNoMachine(t *testing.T) {
	t.Setenv(machine.Env, "")
	folder := t.TempDir()
	box, _, _, end := boxUnder(t, folder, FindMachine())
	if made, until := box.FirstPassphrase(); made == "" || until {
		t.Errorf("got %q, %v", made, until)
	}
	if raw, err := box.Store.Value(firstKey); raw != nil || err != nil {
		t.Errorf("it keeps %q, %v", raw, err)
	}
	end()
}
