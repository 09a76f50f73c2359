package notify_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"cheeseboard/firmware/notify"
)

// variables are an environment.
func variables(v map[string]string) func(string) string {
	return func(name string) string { return v[name] }
}

// listen takes the place of a supervisor.
func listen(t *testing.T, name string) (hear func() string, end func()) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() string {
		t.Helper()
		buffer := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}, func() { _ = conn.Close() }
}

func open(t *testing.T, name string) *notify.Supervisor {
	t.Helper()
	s, err := notify.Open(variables(map[string]string{"NOTIFY_SOCKET": name}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSay: messages arrive as sd_notify(3) has them, at a path and at an abstract name,
// and a supervisor that starts anew is found again.
func TestSay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	for _, name := range []string{path, "@cheeseboard-test-" + strconv.Itoa(os.Getpid())} {
		hear, end := listen(t, name)
		s := open(t, name)
		for _, c := range []struct {
			say  []string
			want string
		}{
			{[]string{notify.Ready, notify.Status("ok: all\nwell")}, "READY=1\nSTATUS=ok: all well"},
			{[]string{notify.Alive}, "WATCHDOG=1"},
			{[]string{notify.Extend(1500 * time.Millisecond)}, "EXTEND_TIMEOUT_USEC=1500000"},
			{[]string{notify.Stopping}, "STOPPING=1"},
		} {
			if err := s.Say(c.say...); err != nil {
				t.Fatal(err)
			}
			if got := hear(); got != c.want {
				t.Errorf("heard %q, want %q", got, c.want)
			}
		}
		end()
		if err := s.Say(notify.Alive); err == nil {
			t.Error("nobody listens, and there is no error")
		}
		if name == path { // what was bound there stays until somebody removes it
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		hear, _ = listen(t, name)
		if err := s.Say(notify.Alive); err != nil {
			t.Fatalf("to a supervisor that started anew: %v", err)
		}
		if got := hear(); got != "WATCHDOG=1" {
			t.Errorf("heard %q", got)
		}
	}
}

// TestOpen: the variables are read as sd_watchdog_enabled(3) has them.
func TestOpen(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		socket, usec, pid string
		want              time.Duration
		wrong             bool
	}{
		{"/run/x", "", "", 0, false},
		{"/run/x", "30000000", "", 30 * time.Second, false},
		{"@x", "30000000", own, 30 * time.Second, false},
		{"/run/x", "30000000", "1", 0, false},
		{"/run/x", "half a minute", own, 0, true},
		{"/run/x", "0", own, 0, true},
		{"/run/x", "99999999999999999999", own, 0, true},
		{"relative", "", "", 0, true},
	} {
		s, err := notify.Open(variables(map[string]string{"NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}))
		if (err != nil) != c.wrong || s.Watchdog() != c.want {
			t.Errorf("%+v: got %v, %v", c, s.Watchdog(), err)
		}
	}
	s, err := notify.Open(variables(nil))
	if s != nil || err != nil {
		t.Errorf("without variables: got %v, %v", s, err)
	}
	if err := s.Say(notify.Ready); err != nil { // to nobody
		t.Error(err)
	}
}
