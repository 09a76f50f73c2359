package pid1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/pid1/disk"
	"cheeseboard/firmware/pid1/process"
	"cheeseboard/firmware/pid1/program"

	"golang.org/x/sys/unix"
)

// hearProgram makes the socket on which the program says how it is, until it has ended.
func (b *box) hearProgram(ctx context.Context) error {
	if err := writeUsers(); err != nil {
		b.log.Warn("the names of users", "reason", err)
	}
	// It is heard though all else is told to end.
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	messages, err := program.Listen(listening, notifySocket)
	if err != nil {
		stop()
		return err
	}
	b.messages, b.deaf = messages, stop
	return nil
}

// startProgram starts the program, and has it kept running.
func (b *box) startProgram(ctx context.Context) {
	restarts := -1
	k := program.New(program.Options{
		Start: b.launch, Messages: b.messages, Log: b.log,
		Changed: func(s program.State) {
			if s.Last != "" && !s.Ready && s.Restarts != restarts {
				restarts = s.Restarts
				if err := b.notes.program(s.Last); err != nil {
					b.log.Warn("why the program ended could not be noted", "reason", err)
				}
				select {
				case b.flushNow <- struct{}{}:
				default: // it is done soon
				}
			}
			b.poke()
		},
	})
	b.keeper.Store(k)
	b.begin("program", func() {
		defer b.deaf()
		k.Run(ctx)
	})
}

// writeUsers gives the users names, for whoever looks.
func writeUsers() error {
	user := fmt.Sprintf("root:x:0:0::/:/\ncheeseboard:x:%d:%d::%s:/\n", programUser, programUser, programData)
	group := fmt.Sprintf("root:x:0:\ncheeseboard:x:%d:\n", programUser)
	return errors.Join(os.MkdirAll("/etc", 0o755), os.WriteFile("/etc/passwd", []byte(user), 0o644), os.WriteFile("/etc/group", []byte(group), 0o644))
}

// arguments are those of the program.
func (b *box) arguments() []string {
	args := []string{"serve", "--forgive", "--config", settingsFile, "--data", programData, "--set", "watchdog.enabled=false", "--set", "stick.folder=" + sticksFolder}
	if at := b.listens(); at != b.settings.Serve.Listen {
		args = append(args, "--listen", at)
	}
	if b.data.Condition == disk.Memory {
		args = append(args, "--set", "storage.reserve=16MiB")
	}
	return args
}

// listens is the address at which the program is to be reached: where nobody has said it,
// at the port that browsers ask.
func (b *box) listens() string {
	if b.settings.Serve.Listen == config.Default().Serve.Listen {
		return ":80"
	}
	return b.settings.Serve.Listen
}

// environment is that of the program.
func environment(watchdog time.Duration) []string {
	return []string{
		"PATH=/bin", "HOME=" + programData, "LANG=C.UTF-8", "TMPDIR=/tmp",
		"NOTIFY_SOCKET=" + notifySocket, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()),
		machine.Env + "=" + machine.Socket,
	}
}

// launched is the program, running.
type launched struct {
	*process.Process
	ended chan struct{} // when its last line is read too
	last  *lastLine
}

// launch starts the program, or lets the one go on that was started early.
func (b *box) launch() (program.Running, error) {
	args := b.arguments()
	if early := b.letThrough(args); early != nil {
		return early, nil
	}
	return b.spawn(args, nil)
}

// spawn starts the program as a user of its own, which may do two things beside: serve
// on port 80, and set the clock. gate, if not nil, is where it waits.
func (b *box) spawn(args []string, gate *os.File) (*launched, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }() // the program has its own
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	env, files := environment(program.DefaultWatchdog), []*os.File{null, write, write}
	if gate != nil {
		env, files = append(env, fmt.Sprintf("%s=%d", machine.GateEnv, len(files))), append(files, gate)
	}
	p, err := b.reaper.Start(programFile, args, env, files, &syscall.SysProcAttr{
		Setsid:      true,
		Credential:  &syscall.Credential{Uid: programUser, Gid: programUser},
		AmbientCaps: []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_TIME},
	})
	if err = errors.Join(err, write.Close()); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	l := &launched{Process: p, ended: make(chan struct{}), last: &lastLine{}}
	go func() {
		defer b.rescue("the program's log")
		said := &lines{say: b.journal.hear}
		_, _ = io.Copy(io.MultiWriter(said, l.last), read) // it ends with those who write
		_ = read.Close()
	}()
	go func() {
		defer b.rescue("the program's end")
		<-p.Ended()
		_ = unix.Kill(-p.PID, unix.SIGKILL) // whoever it has left behind
		close(l.ended)
	}()
	return l, nil
}

// PID implements program.Running.
func (l *launched) PID() int { return l.Process.PID }

// Ended implements program.Running.
func (l *launched) Ended() <-chan struct{} { return l.ended }

// Why implements program.Running.
func (l *launched) Why() string {
	if said := l.last.get(); said != "" {
		return l.Exit().String() + ": " + said
	}
	return l.Exit().String()
}

// Signal implements program.Running.
func (l *launched) Signal(s unix.Signal) {
	select {
	case <-l.Process.Ended(): // the number may be another's by now
	default:
		_ = unix.Kill(l.Process.PID, s) // it may have ended this moment
	}
}

// mostReason bounds the part of a reason that a program has said itself, in bytes.
const mostReason = 200

// lastLine keeps what a program said last, and what it panicked with.
type lastLine struct {
	mu       sync.Mutex
	tail     []byte
	panicked string
}

// Write implements io.Writer.
func (l *lastLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, b...)
	for {
		i := bytes.IndexByte(l.tail, '\n')
		if i < 0 || i+1 == len(l.tail) {
			break
		}
		l.look(l.tail[:i])
		l.tail = bytes.Clone(l.tail[i+1:])
	}
	if len(l.tail) > mostLine {
		l.tail = bytes.Clone(l.tail[:mostLine])
	}
	return len(b), nil
}

// look sees whether a line is how a panic of Go begins: what follows is where.
func (l *lastLine) look(line []byte) {
	for _, begin := range []string{"panic: ", "fatal error: "} {
		if bytes.HasPrefix(line, []byte(begin)) {
			l.panicked = string(line)
		}
	}
}

func (l *lastLine) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look(l.tail)
	text := l.panicked
	if text == "" {
		text = string(bytes.TrimSpace(l.tail))
	}
	if strings.HasPrefix(text, machine.ConsoleOnly) {
		return ""
	}
	return strings.ToValidUTF8(text[:min(len(text), mostReason)], "")
}

// devices are what the program may use: lines, serial ports, the clock with a battery.
var devices = []string{
	"/dev/gpiochip*", "/dev/ttyS*", "/dev/ttyAMA*", "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyGS*", "/dev/rtc*", "/dev/vcio",
	"/sys/class/leds/*/brightness", "/sys/class/leds/*/trigger",
}

// grant gives the devices that are there to the program.
func (b *box) grant() {
	linkSerial()
	for _, pattern := range devices {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			continue // a pattern of ours is not malformed
		}
		for _, path := range paths {
			if err := os.Chown(path, programUser, programUser); err != nil && !errors.Is(err, os.ErrNotExist) {
				b.log.Debug("a device could not be given to the program", "device", path, "reason", err)
			}
		}
	}
}
