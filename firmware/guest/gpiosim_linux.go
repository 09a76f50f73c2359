package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Lines are GPIO lines of the kernel's simulator: what a program sets can be read,
// and what it reads can be pulled. The modules gpio-sim and configfs must be loaded.
type Lines struct {
	Chip   string // as gpiochip0
	folder string
}

// Edge is a change of a line, which came about between two looks at it: a guest on a
// busy machine may stand still for a while.
type Edge struct {
	From time.Duration `json:"from"` // since the watching began
	To   time.Duration `json:"to"`
	High bool          `json:"high"`
}

// Span bounds the time from one edge to a later one.
func (e Edge) Span(later Edge) (least, most time.Duration) {
	return later.From - e.To, later.To - e.From
}

// NewLines makes a chip with n lines.
func NewLines(n int) (*Lines, error) {
	const device = "/sys/kernel/config/gpio-sim/board"
	bank := device + "/bank"
	if err := os.MkdirAll(bank, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(bank+"/num_lines", fmt.Append(nil, n), 0); err != nil {
		return nil, err
	}
	if err := os.WriteFile(device+"/live", []byte("1"), 0); err != nil {
		return nil, err
	}
	platform, err := os.ReadFile(device + "/dev_name")
	if err != nil {
		return nil, err
	}
	chip, err := os.ReadFile(bank + "/chip_name")
	if err != nil {
		return nil, err
	}
	l := &Lines{Chip: strings.TrimSpace(string(chip))}
	l.folder = filepath.Join("/sys/devices/platform", strings.TrimSpace(string(platform)), l.Chip)
	return l, nil
}

func (l *Lines) file(line int, name string) string {
	return filepath.Join(l.folder, fmt.Sprintf("sim_gpio%d", line), name)
}

// High reads a line.
func (l *Lines) High(line int) (bool, error) {
	raw, err := os.ReadFile(l.file(line, "value"))
	return strings.TrimSpace(string(raw)) == "1", err
}

// Pull pulls a line up or down, as a button does.
func (l *Lines) Pull(line int, up bool) error {
	pull := "pull-down"
	if up {
		pull = "pull-up"
	}
	return os.WriteFile(l.file(line, "pull"), []byte(pull), 0)
}

// Watch looks at a line every two milliseconds for a while, and gives its edges; the
// first is its level at the beginning.
func (l *Lines) Watch(line int, length time.Duration) ([]Edge, error) {
	f, err := os.Open(l.file(line, "value"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	var edges []Edge
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	before := time.Duration(0)
	for began := time.Now(); ; <-tick.C {
		now := time.Since(began)
		var b [1]byte
		if _, err := f.ReadAt(b[:], 0); err != nil {
			return nil, err
		}
		if high := b[0] == '1'; len(edges) == 0 || edges[len(edges)-1].High != high {
			edges = append(edges, Edge{before, time.Since(began), high})
		}
		if before = now; now >= length {
			return edges, nil
		}
	}
}
