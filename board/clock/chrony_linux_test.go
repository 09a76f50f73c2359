package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestChrony asks a real time server, which runs on the loopback as one of stratum 10
// and sets no clock.
func TestChrony(t *testing.T) {
	chronyd, err := exec.LookPath("chronyd")
	if err != nil {
		if chronyd = "/usr/sbin/chronyd"; !isFile(chronyd) {
			t.Skip("chronyd is not installed (Debian package chrony)")
		}
	}
	probe, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := probe.LocalAddr().(*net.UDPAddr).Port
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	settings := fmt.Sprintf("port %d\ncmdport 0\nbindaddress 127.0.0.1\nbindcmdaddress /\nallow 127.0.0.1\nlocal stratum 10\npidfile %s/pid\n", port, dir)
	file := filepath.Join(dir, "chrony.conf")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	// -x: it does not touch the clock. -U: no user is needed. -d: in the foreground.
	server := exec.Command(chronyd, "-x", "-U", "-d", "-u", "root", "-f", file)
	said, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stdout, server.Stderr = said, said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var s Sample
	for err = errors.New("nothing was tried"); err != nil && ctx.Err() == nil; {
		// Until it has come up the port is closed, and the kernel says so at once.
		once, done := context.WithTimeout(ctx, 500*time.Millisecond)
		s, err = QueryNTP(once, fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			<-once.Done()
		}
		done()
	}
	if err != nil {
		text, _ := os.ReadFile(said.Name()) // for people only
		t.Fatalf("%v\n%s", err, text)
	}
	if off := time.Until(s.at(time.Now())).Abs(); off > s.Within+time.Second {
		t.Errorf("chrony and this machine share a clock, and are %v apart: %+v", off, s)
	}
	t.Logf("chrony answered: %+v", s)

	// The whole ladder with it, from 1970.
	m := &machine{t: t, behind: time.Since(epoch)}
	servers := &Servers{List: func() []string { return []string{fmt.Sprintf("127.0.0.1:%d", port)} }}
	k := New(Options{Now: m.now, Set: m.set, Built: time.Now().AddDate(0, -6, 0), Facts: func() Facts { return Facts{Board: true} }, NTP: servers.Ask})
	k.climb(t.Context())
	if s := k.State(); s.Source != Lone || !s.Verified || time.Until(m.now()).Abs() > 2*time.Second {
		t.Errorf("%+v, the clock shows %v", s, m.now())
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
