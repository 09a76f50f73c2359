package app

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/firmware/machine"
)

// TestAnnounces: by itself the box says its name under an init of ours, and never where
// nobody could reach it.
func TestAnnounces(t *testing.T) {
	all, loopback := &net.TCPAddr{IP: net.IPv6unspecified, Port: 80}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	for _, c := range []struct {
		say     config.Announce
		ours    bool
		address net.Addr
		want    bool
	}{
		{config.AnnounceAuto, false, all, false},
		{config.AnnounceAuto, true, all, true},
		{config.AnnounceAlways, false, all, true},
		{config.AnnounceNever, true, all, false},
		{config.AnnounceAlways, true, loopback, false},
		{config.AnnounceAlways, true, &net.UnixAddr{Name: "x"}, false},
	} {
		a := &App{}
		a.config.MDNS.Announce = c.say
		if c.ours {
			a.machine = machine.NewClient("/run/none")
		}
		if got := a.announces(c.address); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestWantedName: serve.name counts where it is one of the link, else the machine's.
func TestWantedName(t *testing.T) {
	own := wantedName(config.Default())
	if own == "" || strings.Contains(own, ".") {
		t.Errorf("the machine is called %q", own)
	}
	for name, want := range map[string]string{
		"Kitchen.local": "kitchen", "kitchen.local.": "kitchen", "kitchen.example.org": own, "192.168.1.5": own, "": own, ".local": own,
	} {
		c := config.Default()
		c.Serve.Name = name
		if got := wantedName(c); got != want {
			t.Errorf("serve.name = %q: %q, want %q", name, got, want)
		}
	}
}

// TestKeptName: the identity stays, and so does a name that was taken.
func TestKeptName(t *testing.T) {
	folder := t.TempDir()
	box, _, _, end := boxUnder(t, folder, nil)
	first, err := box.recallName()
	if err != nil || len(first.ID) != 16 {
		t.Fatalf("got %+v, %v", first, err)
	}
	again, err := box.recallName()
	if err != nil || again != first {
		t.Errorf("the identity changes: %+v, %v", again, err)
	}
	taken := keptName{ID: first.ID, Wanted: "cheeseboard", Label: "cheeseboard-" + first.ID[:4]}
	if err := box.keepName(taken); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(box.Store.Dir(), nameFile)
	end()

	raw, err := os.ReadFile(file)
	var onDisk keptName
	if err := errors.Join(err, json.Unmarshal(raw, &onDisk)); err != nil || onDisk != taken {
		t.Errorf("the file says %s, %v", raw, err)
	}
	box, _, _, end = boxUnder(t, folder, nil)
	if got, err := box.recallName(); err != nil || got != taken {
		t.Errorf("after another start: %+v, %v", got, err)
	}
	for _, damaged := range []string{"", "{", `{"id":"x"}`, `{"id":"../../../../etc/x"}`} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := box.recallName(); err != nil || len(got.ID) != 16 || got.ID == first.ID {
			t.Errorf("of %q: %+v, %v", damaged, got, err)
		}
	}
	end()
}

// TestNameProbe: that nobody says the name is told, and is no failure.
func TestNameProbe(t *testing.T) {
	var n naming
	if f := n.probe(); f.Severity != health.NotMeasured {
		t.Errorf("at first: %+v", f)
	}
	n.set(nil, errors.New("the port is taken"))
	if f := n.probe(); f.Severity != health.Reduced || !strings.Contains(f.Summary, "the port is taken") || f.Action == "" {
		t.Errorf("without a port: %+v", f)
	}
}

// TestAddresses: names and addresses are told, always both.
func TestAddresses(t *testing.T) {
	a := &App{called: "kitchen.local"}
	if got := a.addresses(); got != nil {
		t.Errorf("before it listens: %q", got)
	}
	var address net.Addr = &net.TCPAddr{IP: net.IPv6unspecified, Port: 80}
	a.listens.Store(&address)
	got := a.addresses()
	if len(got) < 2 || got[0] != "http://kitchen.local/" || got[len(got)-1] != "http://localhost/" {
		t.Errorf("got %q", got)
	}
}
