// Package notify tells whoever supervises this program how it is, in the words of
// sd_notify(3): systemd, and the init of our own image.
package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What can be said, beside Status and Extend.
const (
	Ready    = "READY=1"    // it serves
	Stopping = "STOPPING=1" // it was asked to end, and does
	Alive    = "WATCHDOG=1" // it is of use
)

// Status says in one line how the program is.
func Status(line string) string {
	return "STATUS=" + strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, line)
}

// Extend asks for time to start or to stop: the next message comes within d.
func Extend(d time.Duration) string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10)
}

// Variables are those of the environment that are read here. They are for this process,
// and not for those that it starts.
func Variables() []string { return []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} }

// patience is how long a message may wait for a supervisor that does not read.
const patience = 5 * time.Second

// Supervisor takes messages. It may be used concurrently; nil is nobody, who takes all.
type Supervisor struct {
	address  *net.UnixAddr
	watchdog time.Duration

	mu   sync.Mutex
	conn *net.UnixConn // nil: not connected
}

// Open finds the supervisor that the variables name; nil where there is none.
func Open(getenv func(string) string) (*Supervisor, error) {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	// A name that begins with @ is one of Linux's abstract ones, as package net has it.
	if name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("notify the supervisor: NOTIFY_SOCKET is %q, and should be a path", name)
	}
	s := &Supervisor{address: &net.UnixAddr{Name: name, Net: "unixgram"}}
	var err error
	if s.watchdog, err = watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID")); err != nil {
		return nil, err
	}
	return s, nil
}

// watchdog reads how often the supervisor wants to hear that the program is alive; 0: it
// does not, or it means another process.
func watchdog(usec, pid string) (time.Duration, error) {
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(time.Duration(1<<63-1)/time.Microsecond) {
		return 0, fmt.Errorf("notify the supervisor: WATCHDOG_USEC is %q, and should be a number of microseconds", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Watchdog is the time after which the supervisor gives up on a program that does not
// say Alive; 0: it does not look.
func (s *Supervisor) Watchdog() time.Duration {
	if s == nil {
		return 0
	}
	return s.watchdog
}

// Say sends one message. It waits for a few seconds at most. A supervisor that has
// started anew since the last message is found again.
func (s *Supervisor) Say(assignments ...string) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	message := []byte(strings.Join(assignments, "\n"))
	if s.conn != nil {
		if s.send(message) == nil {
			return nil
		}
		_ = s.conn.Close() // nobody is behind it any more
		s.conn = nil
	}
	var err error
	if s.conn, err = net.DialUnix("unixgram", nil, s.address); err != nil {
		s.conn = nil
		return fmt.Errorf("notify the supervisor: %w", err)
	}
	if err := s.send(message); err != nil {
		return fmt.Errorf("notify the supervisor: %w", err)
	}
	return nil
}

func (s *Supervisor) send(message []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(message)
	return err
}

// Close lets the socket go. Nothing may be said after it.
func (s *Supervisor) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
