package app_test

import (
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/health"
)

// ear hears what a box tells its supervisor, over a real socket.
type ear struct {
	t    *testing.T
	conn *net.UnixConn
}

func newEar(t *testing.T) *ear {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &ear{t, conn}
}

// until gives what was said up to a line that begins so, that one last.
func (e *ear) until(prefix string) (said []string) {
	e.t.Helper()
	buffer := make([]byte, 4096)
	for {
		if err := e.conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			e.t.Fatal(err)
		}
		n, err := e.conn.Read(buffer)
		if err != nil {
			e.t.Fatalf("waiting for %s, after %q: %v", prefix, said, err)
		}
		for line := range strings.SplitSeq(string(buffer[:n]), "\n") {
			said = append(said, line)
			if strings.HasPrefix(line, prefix) {
				return said
			}
		}
	}
}

// TestSupervisor: whoever supervises the program hears that it serves, how it is, that
// it is of use as long as the proofs hold, and that it stops.
func TestSupervisor(t *testing.T) {
	server, _ := many(t, 1)
	e := newEar(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	supervisor := app.OpenSupervisor(slog.New(slog.DiscardHandler))
	var bad atomic.Bool
	s := serveBox(t, boxConfig(server, t.TempDir(), nil), func(a *app.App) {
		a.Supervised(supervisor)
		a.Health.Add("test", func() health.Finding {
			if bad.Load() {
				return health.Finding{Severity: health.Attention, Summary: "the cheese is gone", Action: "buy some"}
			}
			return health.Finding{}
		})
	})
	if said := e.until("STATUS="); said[0] != "READY=1" {
		t.Errorf("it began with %q", said)
	}
	e.until("WATCHDOG=1")
	bad.Store(true)
	e.until("STATUS=attention: the cheese is gone: buy some")
	e.until("WATCHDOG=1") // a box that wants somebody to look is of use
	s.end()
	if said := e.until("STOPPING=1"); slices.Contains(said, "READY=1") {
		t.Errorf("it was ready twice: %q", said)
	}
	if err := supervisor.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoSupervisor: without one nothing is different.
func TestNoSupervisor(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	supervisor := app.OpenSupervisor(slog.New(slog.DiscardHandler))
	if supervisor != nil {
		t.Error("there is one")
	}
	if err := supervisor.Close(); err != nil {
		t.Error(err)
	}
}
