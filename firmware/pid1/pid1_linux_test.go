package pid1

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/board/watchdog"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/pid1/disk"
	"cheeseboard/firmware/pid1/network"
)

func TestParseParameters(t *testing.T) {
	for line, want := range map[string]parameters{
		"console=ttyS0 quiet panic=2":                                        {},
		"cheeseboard.disk=0x43484545 cheeseboard.slot=3":                     {disk: 0x43484545, slot: 3},
		"cheeseboard.disk=zz cheeseboard.slot=9 cheeseboard.watchdog=on":     {},
		"cheeseboard.watchdog=off cheeseboard.log=debug xcheeseboard.slot=2": {noWatchdog: true, debug: true},
	} {
		if got := parseParameters(line); got != want {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

// stuck is a console whose reader has gone away.
type stuck struct{ release chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.release; return len(b), nil }

// TestStuckConsole: whoever writes to the log never waits for the console, and the ring
// has it all.
func TestStuckConsole(t *testing.T) {
	s := stuck{make(chan struct{})}
	j := newJournal(s)
	w := j.writer("cheeseboard")
	for n := range 2000 {
		if _, err := fmt.Fprintf(w, "line %d\nhalf", n); err != nil {
			t.Fatal(err)
		}
	}
	if got := bytes.Count(j.ring.Bytes(), []byte("\n")); got != 2000 {
		t.Errorf("%d lines are in the ring", got)
	}
	close(s.release)
	j.drain()
}

func TestLines(t *testing.T) {
	var got []string
	l := &lines{say: func(s string) { got = append(got, s) }}
	for _, text := range []string{"one\r\ntw", "o\n\nlast", strings.Repeat("x", 3*mostLine), "\xff\n"} {
		if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if want := []string{"one", "two", ""}; !slices.Equal(got[:3], want) {
		t.Errorf("%q", got[:3])
	}
	for _, line := range got {
		if len(line) > mostLine {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if all := strings.Join(got[3:], ""); all != "last"+strings.Repeat("x", 3*mostLine)+"?" {
		t.Errorf("%d bytes came", len(all))
	}
}

// TestLastLine: the reason of an end is the last line, or how a panic began.
func TestLastLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"starting\nerror: disk full\n": "error: disk full",
		"starting\nerror: disk full":   "error: disk full",
		"x\npanic: oh no\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:3 +0x1d\nexit status 2\n": "panic: oh no",
		"fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1\n":                      "fatal error: all goroutines are asleep - deadlock!",
		strings.Repeat("ä", 5000): strings.Repeat("ä", mostReason/2),
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			l := &lastLine{}
			for rest := []byte(text); len(rest) > 0; rest = rest[min(step, len(rest)):] {
				if _, err := l.Write(rest[:min(step, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if got := l.get(); got != want {
				t.Errorf("%.40q by %d: %q", text, step, got)
			}
		}
	}
}

// TestNotebook: reasons outlive a start, and the same one is not written each minute.
func TestNotebook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.json")
	n := openNotebook(path)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(n.program("exit status 1"))
	if got := openNotebook(path).get(); got.Program != "exit status 1" || got.ProgramAt.IsZero() {
		t.Errorf("%+v", got)
	}
	check(os.Remove(path))
	check(n.program("exit status 1"))
	if _, err := os.Stat(path); err == nil {
		t.Error("the same is written again at once")
	}
	check(n.program("killed by SIGSEGV"))
	check(n.machine("the program was of no use"))
	check(n.machine(""))
	if got := openNotebook(path).get(); got.Program != "killed by SIGSEGV" || got.Machine != "" || !got.MachineAt.IsZero() {
		t.Errorf("%+v", got)
	}
	before, err := os.ReadFile(path)
	check(err)
	unkept := openNotebook(path)
	unkept.kept = false
	check(unkept.program("exit status 2"))
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) || unkept.get().Program != "exit status 2" {
		t.Errorf("what cannot be written is not only remembered: %s, %v", after, err)
	}
	check(os.WriteFile(path, []byte("{"), 0o600))
	if got := openNotebook(path).get(); got != (last{}) {
		t.Errorf("of a damaged file: %+v", got)
	}
}

// TestArguments: the program gets its place, and a port that needs no address.
func TestArguments(t *testing.T) {
	b := &box{settings: config.Default()}
	if got := b.arguments(); !slices.Contains(got, ":80") || slices.Contains(got, "storage.reserve=16MiB") {
		t.Errorf("%q", got)
	}
	b.settings.Serve.Listen = "192.168.1.5:8081"
	b.data = disk.Report{Condition: disk.Memory}
	if got := b.arguments(); slices.Contains(got, "--listen") || !slices.Contains(got, "storage.reserve=16MiB") {
		t.Errorf("%q", got)
	}
	if got := environment(time.Minute); !slices.Contains(got, "WATCHDOG_USEC=60000000") || !slices.Contains(got, "CHEESEBOARD_MACHINE=/run/cheeseboard/machine.sock") {
		t.Errorf("%q", got)
	}
}

func TestNetworkSettings(t *testing.T) {
	c, err := config.Parse("f", []byte("[network]\nhostname = \"kitchen\"\nhostname-from = \"dhcp\"\naddresses = [\"10.0.0.5/8\", \"eth1 fd00::5/64\"]\ngateways = [\"10.0.0.1\"]\nname-servers = [\"9.9.9.9\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := networkSettings(c.Network)
	static := []network.Static{{Prefix: netip.MustParsePrefix("10.0.0.5/8")}, {Interface: "eth1", Prefix: netip.MustParsePrefix("fd00::5/64")}}
	if got.Hostname != "kitchen" || !got.TakeName || !slices.Equal(got.Static, static) || got.Gateways[0].String() != "10.0.0.1" || got.DNS[0].String() != "9.9.9.9" {
		t.Errorf("%+v", got)
	}
}

// TestOwn gives a folder to the program, if this test may.
func TestOwn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away; the guest tests run a program that needs its folder")
	}
	dir := t.TempDir()
	inner := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := own(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(inner, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := own(dir); err != nil { // once it is the program's, what is in it is the program's business
		t.Fatal(err)
	}
	for path, want := range map[string]int{dir: programUser, filepath.Dir(inner): programUser, inner: 0} {
		if got := ownerOf(t, path); got != want {
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
	}
}

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// TestSerialPort: the port that the device tree calls serial0, once it is there.
func TestSerialPort(t *testing.T) {
	root := t.TempDir()
	if got := serialPort(root); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	node := filepath.Join(root, "sys/firmware/devicetree/base/soc/serial@7e215040")
	port := filepath.Join(root, "sys/class/tty/ttyS0/device")
	for _, folder := range []string{node, port, filepath.Join(root, "sys/class/tty/ttyAMA0/device"), filepath.Join(root, "proc/device-tree/aliases")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "proc/device-tree/aliases/serial0"), []byte("/soc/serial@7e215040\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := serialPort(root); got != "" {
		t.Errorf("before it is there: %q", got)
	}
	if err := os.Symlink(node, filepath.Join(port, "of_node")); err != nil {
		t.Fatal(err)
	}
	if got := serialPort(root); got != "ttyS0" {
		t.Errorf("%q", got)
	}
}

func TestKernelLine(t *testing.T) {
	for record, want := range map[string]string{
		"4,339,5140900,-;NET: a warning\n SUBSYSTEM=x\n": "[    5.140900] kernel: NET: a warning\n",
		"2,1,0,-;EXT4-fs error; twice":                   "[    0.000000] kernel: EXT4-fs error; twice\n",
		"6,339,5140900,-;chatter\n":                      "",
		"12,339,5140900,-;of a program\n":                "",
		"4,339":                                          "",
		"x,y,z,-;no":                                     "",
		"":                                               "",
	} {
		if got, ok := kernelLine(record); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %t", record, got, ok)
		}
	}
}

// TestLight: the light of a board winks, and another one is left alone.
func TestLight(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"ACT", "PWR"} {
		folder := filepath.Join(root, "sys/class/leds", name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"trigger", "delay_on", "delay_off", "brightness"} {
			if err := os.WriteFile(filepath.Join(folder, file), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(path string) string {
		raw, err := os.ReadFile(filepath.Join(root, "sys/class/leds", path))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	wink(root)
	if read("ACT/trigger") != "timer" || read("ACT/delay_on") != "200" || read("ACT/delay_off") != "200" || read("PWR/trigger") != "" {
		t.Error("it does not wink")
	}
	dark(root)
	if read("ACT/brightness") != "0" || read("PWR/brightness") != "" {
		t.Error("it is not dark")
	}
	if _, err := os.Stat(filepath.Join(root, "sys/class/leds/led0")); err == nil {
		t.Error("a light was made up")
	}
}

// leash is a watchdog that notes when it was petted last.
type leash struct{ petted, closed atomic.Int64 }

func (l *leash) Ping() error                     { l.petted.Store(time.Now().UnixNano()); return nil }
func (l *leash) Timeout() (time.Duration, error) { return 15 * time.Second, nil }
func (l *leash) Close() error                    { l.closed.Add(1); return nil }

// TestWatchdogBitesAtTheEnd: a machine that does not come to the end of going down has
// some minutes for it, and is restarted then.
func TestWatchdogBitesAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &box{log: slog.New(slog.DiscardHandler)}, &leash{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.keepWatchdog(ctx, func() (watchdog.Device, error) { return l, nil }) }()
		time.Sleep(time.Hour)
		left := time.Now()
		if since := left.Sub(time.Unix(0, l.petted.Load())); since > 15*time.Second {
			t.Errorf("before the machine goes down it was not petted for %s", since)
		}
		b.leaving.Store(true)
		time.Sleep(time.Hour)
		if petted := time.Unix(0, l.petted.Load()).Sub(left); l.closed.Load() != 0 || petted < workPatience+2*killPatience || petted > 10*time.Minute {
			t.Errorf("it was petted for %s while the machine goes down; closed %d times", petted, l.closed.Load())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestHealthIsAskedWhereItIs: a trial is judged by the program's own word, wherever the
// settings have it listen.
func TestHealthIsAskedWhereItIs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"failed","summary":"the disk is full"}`)
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]string{
		":" + port: "the disk is full", "0.0.0.0:" + port: "the disk is full", "[::]:" + port: "the disk is full",
		"127.0.0.1:" + port:  "the disk is full",
		"127.0.0.77:" + port: "the disk is full", // which the program could not have, and forgave
		"nonsense":           "",
	} {
		b := &box{settings: config.Default()}
		b.settings.Serve.Listen = listen
		if healthy, summary := b.askHealth(); healthy || summary != want {
			t.Errorf("listening at %s: %t, %q", listen, healthy, summary)
		}
	}
	for listen, want := range map[string][]string{
		config.Default().Serve.Listen: {"127.0.0.1:80"}, "0.0.0.0:8080": {"127.0.0.1:8080"}, "10.0.0.5:80": {"10.0.0.5:80", "127.0.0.1:80"},
	} {
		b := &box{settings: config.Default()}
		b.settings.Serve.Listen = listen
		if got := healthAt(b.listens()); !slices.Equal(got, want) {
			t.Errorf("listening at %s it is asked at %q", listen, got)
		}
	}
}

// TestPINIs: what a cut has left of a PIN's file counts as one that has to go.
func TestPINIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "PIN.txt")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !pinIs(path, "") || pinIs(path, "1234") {
		t.Error("there is no file")
	}
	write(path+".new", "12")
	if pinIs(path, "") {
		t.Error("the half of a file was left behind")
	}
	write(path, "1234")
	if !pinIs(path, "1234") || pinIs(path, "5678") || pinIs(path, "") {
		t.Error("there is a file")
	}
}

// TestSecretOfTheProgram: what is for the console only is in no log, and is no reason of
// an end.
func TestSecretOfTheProgram(t *testing.T) {
	var shown bytes.Buffer
	j, last := newJournal(&shown), &lastLine{}
	w := io.MultiWriter(&lines{say: j.hear}, last)
	if _, err := io.WriteString(w, "serving\n"+machine.ConsoleOnly+"the passphrase is open sesame\n"); err != nil {
		t.Fatal(err)
	}
	j.drain()
	if text := shown.String(); !strings.Contains(text, "serving\n") || !strings.HasSuffix(text, "\nthe passphrase is open sesame\n") {
		t.Errorf("the console shows %q", text)
	}
	if kept := string(j.ring.Bytes()); !strings.Contains(kept, "serving\n") || strings.Contains(kept, "sesame") {
		t.Errorf("the log has %q", kept)
	}
	if why := last.get(); strings.Contains(why, "sesame") {
		t.Errorf("the reason of its end is %q", why)
	}
}
