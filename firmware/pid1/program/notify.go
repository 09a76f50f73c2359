package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Message is what a program says of itself (sd_notify(3)).
type Message struct {
	PID     int // of whoever sent it, by the kernel's word
	Ready   bool
	Alive   bool // WATCHDOG=1
	Trigger bool // WATCHDOG=trigger: it wants to be ended
	Stop    bool
	Status  string
	Extend  time.Duration // 0: not asked for
}

// mostExtend bounds how much time a program can ask for at once.
const mostExtend = time.Hour

// mostStatus bounds the text of a status, in bytes.
const mostStatus = 256

// ParseMessage reads what a program sent; what is not known is passed over.
func ParseMessage(text string) (m Message) {
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "READY":
			m.Ready = value == "1"
		case "STOPPING":
			m.Stop = value == "1"
		case "WATCHDOG":
			m.Alive, m.Trigger = value == "1", value == "trigger"
		case "STATUS":
			m.Status = strings.ToValidUTF8(value[:min(len(value), mostStatus)], "")
		case "EXTEND_TIMEOUT_USEC":
			if usec, err := strconv.ParseUint(value, 10, 63); err == nil {
				m.Extend = time.Duration(min(usec, uint64(mostExtend/time.Microsecond))) * time.Microsecond
			}
		}
	}
	return m
}

// Listen makes the socket to which NOTIFY_SOCKET leads, and sends on what comes until
// ctx ends. Anybody may write to it; who did is in the message.
func Listen(ctx context.Context, path string) (<-chan Message, error) {
	if err := os.RemoveAll(path); err != nil {
		return nil, fmt.Errorf("listen for the program: %w", err)
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for the program: %w", err)
	}
	raw, err := c.SyscallConn()
	if err == nil {
		var bad error
		err = raw.Control(func(fd uintptr) { bad = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(err, bad, os.Chmod(path, 0o666))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the program: %w", err), c.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // it ends the loop
	out := make(chan Message)
	go func() {
		defer stop()
		text, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
		for {
			n, controls, _, _, err := c.ReadMsgUnix(text, control)
			if err != nil {
				return
			}
			m := ParseMessage(string(text[:n]))
			if m.PID = sender(control[:controls]); m.PID == 0 {
				continue
			}
			select {
			case out <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// sender gives the process that sent a message; 0: the kernel does not say.
func sender(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return int(cred.Pid)
		}
	}
	return 0
}
