package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// QMP is the control connection to qemu, by its Machine Protocol. It is safe for
// concurrent use.
type QMP struct {
	Events <-chan Event // those that came and were not read; beyond 256 the next are dropped

	conn    net.Conn
	mu      sync.Mutex // one command at a time
	answers chan answer
}

// Event is what qemu tells unasked, such as WATCHDOG.
type Event struct {
	Name string          `json:"event"`
	Data json.RawMessage `json:"data"`
}

type answer struct {
	Event
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// dialQMP connects as soon as qemu listens, and says hello.
func dialQMP(ctx context.Context, path string) (*QMP, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var dialer net.Dialer
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			events := make(chan Event, 256)
			q := &QMP{Events: events, conn: conn, answers: make(chan answer)}
			go q.listen(events)
			return q, q.Do("qmp_capabilities", nil, nil)
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("connect to qemu: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to qemu: %w", err)
		case <-tick.C:
		}
	}
}

func (q *QMP) listen(events chan<- Event) {
	defer close(q.answers)
	defer close(events)
	for lines := json.NewDecoder(q.conn); ; {
		var a answer
		if lines.Decode(&a) != nil {
			return // qemu ended
		}
		switch {
		case a.Name != "":
			select {
			case events <- a.Event:
			default:
			}
		case a.Return != nil || a.Error != nil:
			q.answers <- a
		}
	}
}

// Do has qemu do a command, with arguments that can be marshalled, and decodes what
// it returns into result; both may be nil.
func (q *QMP) Do(command string, arguments, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return fmt.Errorf("ask qemu for %s: %w", command, err)
	}
	a, ok := <-q.answers
	switch {
	case !ok:
		return fmt.Errorf("ask qemu for %s: %w", command, net.ErrClosed)
	case a.Error != nil:
		return fmt.Errorf("qemu refuses %s: %s", command, a.Error.Desc)
	case result != nil:
		return json.Unmarshal(a.Return, result)
	}
	return nil
}
