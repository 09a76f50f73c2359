package pid1

import (
	"encoding/json"
	"os"
	"sync"
	"time"

	"cheeseboard/storage/durable"
)

// last is what init remembers over restarts of the machine.
type last struct {
	Program   string    `json:"program,omitempty"` // why the program ended last
	ProgramAt time.Time `json:"program_at,omitzero"`
	Machine   string    `json:"machine,omitempty"` // why init restarted the machine
	MachineAt time.Time `json:"machine_at,omitzero"`
}

// notebook keeps it on the card.
type notebook struct {
	path string
	kept bool // false: it cannot be written, and is remembered until the machine restarts

	mu      sync.Mutex
	now     last
	written time.Time
}

// noteEvery is how often the same reason is written down at most: cards wear out.
const noteEvery = time.Hour

func openNotebook(path string) *notebook {
	n := &notebook{path: path, kept: true}
	if raw, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(raw, &n.now) // one that is damaged is begun anew
	}
	return n
}

func (n *notebook) get() last {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

// program notes why the program ended.
func (n *notebook) program(why string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now.Program == why && time.Since(n.written) < noteEvery {
		return nil
	}
	n.now.Program, n.now.ProgramAt = why, time.Now().Round(time.Second)
	return n.write()
}

// machine notes why the machine is restarted; "" where it was asked to.
func (n *notebook) machine(why string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now.Machine == "" && why == "" {
		return nil
	}
	n.now.Machine, n.now.MachineAt = why, time.Time{}
	if why != "" {
		n.now.MachineAt = time.Now().Round(time.Second)
	}
	return n.write()
}

// write is durable when it returns, if anything is. Under the lock.
func (n *notebook) write() error {
	if !n.kept {
		return nil
	}
	raw, err := json.Marshal(n.now)
	if err == nil {
		err = (&durable.Disk{}).WriteFile(n.path, append(raw, '\n'), 0o600)
	}
	n.written = time.Now()
	return err
}
