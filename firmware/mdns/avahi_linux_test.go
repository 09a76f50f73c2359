package mdns_test

import (
	"context"
	"strings"
	"testing"
	"time"
)

func testContext() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

const (
	boxID   = "1f3a0123456789ab"
	otherID = "c0de0123456789ab"
)

var tools = []string{"avahi-daemon", "avahi-browse", "avahi-resolve", "dbus-daemon", "ip", "nsenter"}

// within holds that something took no longer than a reader was promised: two seconds,
// for a machine that has nothing else to do. A busy one gets more; the log has the figure.
func within(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
	const promised, busy = 2 * time.Second, 8
	if took > busy*promised {
		t.Errorf("%s took %v", what, took)
	}
}

// TestAvahi: the real one finds the box and its service, follows an address and an
// interface, and hears the goodbye.
func TestAvahi(t *testing.T) {
	t.Parallel()
	need(t, tools...)
	box, peer := newHost(t), newHost(t)
	cable("lan0", box, "192.168.77.1/24", peer, "192.168.77.2/24")
	a := startAvahi(peer, "peer", "lan0,lan1")
	browse := start(t, a.client("avahi-browse", "-p", "-k", "-r", "_http._tcp"), false)

	begun := time.Now()
	r := box.responder("cheeseboard", boxID, "")
	line := browse.await(0, "=;lan0;IPv4;cheeseboard;_http._tcp;local;cheeseboard.local;192.168.77.1;8080;")
	within(t, "found", time.Since(begun))
	for _, text := range []string{`"path=/"`, `"simple=/simple/"`, `"id=` + boxID + `"`} {
		if !strings.Contains(line, text) {
			t.Errorf("the service lacks %s: %s", text, line)
		}
	}
	r.await(0, "name cheeseboard.local")
	a.resolve("cheeseboard.local", "192.168.77.1")

	begun = time.Now()
	box.run("ip", "address", "del", "192.168.77.1/24", "dev", "lan0")
	box.run("ip", "address", "add", "192.168.77.9/24", "dev", "lan0")
	a.resolve("cheeseboard.local", "192.168.77.9")
	within(t, "another address", time.Since(begun))

	begun = time.Now()
	cable("lan1", box, "192.168.78.1/24", peer, "192.168.78.2/24")
	browse.await(0, "=;lan1;IPv4;cheeseboard;", ";192.168.78.1;8080;")
	within(t, "another interface", time.Since(begun))

	begun = time.Now()
	r.end()
	browse.await(0, "-;lan0;IPv4;cheeseboard;_http._tcp;local")
	within(t, "goodbye", time.Since(begun))
	for _, line := range r.all() {
		if strings.HasPrefix(line, "keep") || strings.HasPrefix(line, "error") {
			t.Errorf("it said %s", line)
		}
	}
}

// TestAvahiHasTheName: the box takes NAME-<id4>, once, and keeps it when it starts anew,
// also without the other.
func TestAvahiHasTheName(t *testing.T) {
	t.Parallel()
	need(t, tools...)
	box, peer := newHost(t), newHost(t)
	cable("lan0", box, "192.168.77.1/24", peer, "192.168.77.2/24")
	a := startAvahi(peer, "cheeseboard", "lan0")
	r := box.responder("cheeseboard", boxID, "")
	begun := time.Now()
	r.await(0, "keep cheeseboard-1f3a")
	r.await(0, "name cheeseboard-1f3a.local")
	within(t, "conflict resolved", time.Since(begun))
	a.resolve("cheeseboard-1f3a.local", "192.168.77.1")
	a.resolve("cheeseboard.local", "192.168.77.2")
	r.end()

	r = box.responder("cheeseboard", boxID, "cheeseboard-1f3a")
	r.await(0, "name cheeseboard-1f3a.local")
	a.resolve("cheeseboard-1f3a.local", "192.168.77.1")
	if line := r.all()[0]; line != "name cheeseboard-1f3a.local" {
		t.Errorf("after another start it said %q", line)
	}
	r.end()

	a.daemon.end()
	r = box.responder("cheeseboard", boxID, "cheeseboard-1f3a")
	if line := r.await(0, "name"); line != "name cheeseboard-1f3a.local" {
		t.Errorf("without the other it said %q", line)
	}
}

// TestAvahiComesLater: who is there keeps the name, and says so.
func TestAvahiComesLater(t *testing.T) {
	t.Parallel()
	need(t, tools...)
	box, peer := newHost(t), newHost(t)
	cable("lan0", box, "192.168.77.1/24", peer, "192.168.77.2/24")
	r := box.responder("cheeseboard", boxID, "")
	r.await(0, "name cheeseboard.local")
	a := startAvahi(peer, "cheeseboard", "lan0")
	a.daemon.await(0, "Server startup complete", "cheeseboard-2.local")
	a.resolve("cheeseboard.local", "192.168.77.1")
	if said := r.all(); len(said) != 1 {
		t.Errorf("the box said %q", said)
	}
}

// TestTwoBoxes: of two that start at once with one name, one takes another.
func TestTwoBoxes(t *testing.T) {
	t.Parallel()
	need(t, "ip", "nsenter")
	one, two := newHost(t), newHost(t)
	cable("lan0", one, "192.168.77.1/24", two, "192.168.77.2/24")
	a, b := one.responder("cheeseboard", boxID, ""), two.responder("cheeseboard", otherID, "")
	keeper, other := a, b
	if line := a.await(0, "name cheeseboard"); line != "name cheeseboard.local" {
		keeper, other = b, a
	}
	keeper.await(0, "name cheeseboard.local")
	other.await(0, "name cheeseboard-")
	for _, line := range keeper.all() {
		if strings.HasPrefix(line, "keep") {
			t.Errorf("both have given up: %q", line)
		}
	}
}
