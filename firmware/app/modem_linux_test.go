package app_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestModem has a box ask a modem at a real serial line: while it roams nothing is
// fetched by itself, and the box says so.
func TestModem(t *testing.T) {
	server, names := many(t, 1)
	p := newTerminal(t)
	go func() { // until the file is closed
		answers := map[string]string{"ATE0": "", "AT+CSQ": "+CSQ: 20,99", "AT+COPS?": `+COPS: 0,0,"Cheese Mobile",7`}
		for lines := bufio.NewReader(p.file); ; {
			command, err := lines.ReadString('\r')
			if errors.Is(err, syscall.EIO) { // nobody has the other end open
				<-time.After(10 * time.Millisecond)
				continue
			}
			if err != nil {
				return
			}
			command = strings.TrimSpace(command)
			answer, ok := answers[command]
			if name, is := strings.CutSuffix(strings.TrimPrefix(command, "AT"), "?"); is && !ok {
				answer = name + ": 0,5"
			}
			if _, err := p.file.WriteString("\r\n" + answer + "\r\n\r\nOK\r\n"); err != nil {
				return
			}
		}
	}()
	c := boxConfig(server, t.TempDir(), names)
	c.Modem.Port = p.path
	s := serveBox(t, c, nil)
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	said := ""
	for end := time.Now().Add(time.Minute); !strings.Contains(said, "the modem is roaming"); {
		if time.Now().After(end) {
			t.Fatalf("the box says %s", said)
		}
		<-time.After(20 * time.Millisecond)
		said = get("/healthz")
	}
	if want := "the modem is roaming, -73 dBm, Cheese Mobile; nothing is fetched by itself meanwhile"; !strings.Contains(said, want) {
		t.Errorf("the box says %s", said)
	}
	status, err := s.Status()
	if err != nil || !strings.HasPrefix(status.Sync.Budget.Waiting, "waiting while the modem is roaming") {
		t.Errorf("the sync waits since %q (%v)", status.Sync.Budget.Waiting, err)
	}
	if numbers := get("/metrics"); !strings.Contains(numbers, "\ncheeseboard_modem_signal_dbm -73\n") || !strings.Contains(numbers, "\ncheeseboard_modem_roaming 1\n") {
		t.Errorf("the numbers have nothing of the modem")
	}
}
