package guest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cheeseboard/board/led"
	"cheeseboard/firmware/guest"
)

const program = "/bin/cheeseboard"

// buildProgram builds the program as it is for a board.
func buildProgram(t *testing.T) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cheeseboard")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "cheeseboard/firmware/cmd/cheeseboard")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return map[string]string{program: path}
}

// box is the program, running in a guest.
type box struct {
	*exec.Cmd
	ended chan error
}

// startBox starts the program with settings, and waits until it serves. Its upstream
// is a port on which nobody listens, if the settings name none.
func startBox(settings ...string) (*box, error) {
	args := []string{"--data", "/run/data", "--listen", ":80"}
	for _, s := range append([]string{"upstream.url=http://127.0.0.1:9/simple/", "storage.reserve=16MiB"}, settings...) {
		args = append(args, "--set", s)
	}
	b := &box{exec.Command(program, args...), make(chan error, 1)}
	b.Stdout, b.Stderr = os.Stdout, os.Stderr
	if err := b.Start(); err != nil {
		return nil, err
	}
	go func() { b.ended <- b.Wait() }()
	for range 600 {
		if resp, err := http.Get("http://127.0.0.1/healthz"); err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			return b, errors.Join(err, resp.Body.Close())
		}
		select {
		case err := <-b.ended:
			return nil, fmt.Errorf("the program ended: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, errors.New("the program does not serve after a minute")
}

// end ends the program as an init does.
func (b *box) end() error {
	if err := b.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return <-b.ended
}

// playHang shows a box that is well, hangs it, lets it go on, and ends it.
func playHang(s *guest.Stage) error {
	sim, err := guest.NewLines(8)
	if err != nil {
		return err
	}
	b, err := startBox("led.lines="+sim.Chip+":5", "clock.verify=never")
	if err != nil {
		return err
	}
	watch := func(name string, length time.Duration) error {
		edges, err := sim.Watch(5, length)
		s.Report(name, seen{led.Healthy.String(), edges})
		return err
	}
	<-time.After(time.Minute) // it has its beginning behind it
	if err := watch("serving", watched); err != nil {
		return err
	}
	err = b.Process.Signal(syscall.SIGSTOP)
	if err = errors.Join(err, watch("hung", 30*time.Second)); err != nil {
		return err
	}
	if err := b.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	<-time.After(20 * time.Second)
	if err := errors.Join(watch("going on", watched), b.end()); err != nil {
		return err
	}
	high, err := sim.High(5)
	s.Report("lit at the end", high)
	return err
}

// TestHang sees on the line of the light what the program says of itself: that all is
// well, nothing at all while it hangs, and at its end that it may be unplugged.
func TestHang(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "hang", guest.Machine{
		Modules: []string{"configfs", "gpio-sim"}, Files: buildProgram(t), Memory: 512, OwnTime: true,
	})
	var serving, hung, again seen
	g.Next("serving", 10*time.Minute, &serving)
	all := led.Legend()
	healthy := all[slices.IndexFunc(all, func(m led.Meaning) bool { return m.State == led.Healthy })]
	compare(t, serving, healthy.Timeline)
	g.Next("hung", 5*time.Minute, &hung)
	if len(hung.Edges) == 0 {
		t.Fatal("nothing was seen of a program that hangs")
	}
	if last := hung.Edges[len(hung.Edges)-1]; last.To > 10*time.Second {
		t.Errorf("the light of a program that hangs still changes after %s", last.To)
	}
	g.Next("going on", 5*time.Minute, &again)
	compare(t, again, healthy.Timeline)
	var lit bool
	if g.Next("lit at the end", time.Minute, &lit); lit {
		t.Error("after the program ended well the light is lit")
	}
	g.Next("ended", time.Minute, nil)
}

// playWatchdog has the program keep a watchdog quiet, and then hangs it.
func playWatchdog(s *guest.Stage) error {
	b, err := startBox("watchdog.enabled=true")
	if err != nil {
		return err
	}
	<-time.After(3 * time.Minute)
	s.Report("worked", nil)
	if err := b.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	<-time.After(3 * time.Minute)
	s.Report("hung", nil)
	return nil
}

// TestWatchdog lets a real watchdog bite: not while the program works, but when it
// hangs.
func TestWatchdog(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "watchdog", guest.Machine{
		Modules: []string{"i6300esb"}, Files: buildProgram(t), Memory: 512, OwnTime: true,
		Devices: []string{"-device", "i6300esb", "-action", "watchdog=none"},
	})
	bites := func() (n int) {
		for {
			select {
			case e, ok := <-g.QMP.Events:
				if !ok {
					return n
				}
				if e.Name == "WATCHDOG" {
					n++
				}
			default:
				return n
			}
		}
	}
	g.Next("worked", 10*time.Minute, nil)
	if n := bites(); n > 0 {
		t.Errorf("while the program works the watchdog bites %d times", n)
	}
	g.Next("hung", 10*time.Minute, nil)
	if bites() == 0 {
		t.Error("the program hangs, and the watchdog does not bite")
	}
}

// playBare starts the program on a machine that has none of it.
func playBare(s *guest.Stage) error {
	if found, err := filepath.Glob("/dev/gpiochip*"); err != nil || len(found) > 0 {
		return fmt.Errorf("this machine has %s (%w)", strings.Join(found, " "), err)
	}
	b, err := startBox()
	if err != nil {
		return err
	}
	<-time.After(time.Minute)
	before, err := processor(b)
	if err != nil {
		return err
	}
	<-time.After(time.Minute)
	after, err := processor(b)
	s.Report("processor", after-before)
	return errors.Join(err, b.end())
}

// processor tells how much processor time the program has used.
func processor(b *box) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.Process.Pid))
	if err != nil {
		return 0, err
	}
	var user, system int64
	fields := strings.Fields(string(raw[strings.LastIndex(string(raw), ")")+1:]))
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0, err
	}
	return time.Duration(user+system) * time.Second / 100, nil
}

// TestBare starts the program on a machine without lines, lights, serial ports and
// watchdog.
func TestBare(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "bare", guest.Machine{Files: buildProgram(t), Memory: 512, OwnTime: true})
	var used time.Duration
	g.Next("processor", 10*time.Minute, &used)
	t.Logf("%s of a minute of processor time", used)
	if used > 6*time.Second { // in an emulated processor, that is slower than any board's
		t.Errorf("doing nothing takes %s of a minute", used)
	}
	g.Next("ended", time.Minute, nil)
}
