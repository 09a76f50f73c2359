package guest

import (
	"fmt"
	"strings"
	"testing"

	"cheeseboard/firmware/update"
)

// Firmware stands in for the boot firmware of a Raspberry Pi with tryboot_a_b: it reads
// autoboot.txt, honours a flag that holds once, and says in the device tree what it
// chose. The board's Slot, and tryboot in Chosen, are its to set.
type Firmware struct {
	Board
	flag bool
}

// PowerOn starts the board. The flag is lost with the current, or used up now.
func (f *Firmware) PowerOn(t *testing.T) (*Powered, error) {
	t.Helper()
	text, err := f.Card.ReadFile(t.Context(), 1, "autoboot.txt")
	if err != nil {
		return nil, err
	}
	auto, err := update.ParseAutoboot(text)
	if err != nil {
		return nil, err
	}
	b, try := f.Board, uint32(0)
	b.Slot = auto.Default
	if f.flag {
		b.Slot, try = auto.Try, 1
	}
	f.flag = false
	b.Chosen = map[string]uint32{"tryboot": try}
	return b.PowerOn(t)
}

// Restart starts the board again after a machine that has ended: by itself, as in a
// restart, or because its watchdog bit. The kernel says what the firmware was told.
func (f *Firmware) Restart(t *testing.T, ended *Powered) (*Powered, error) {
	t.Helper()
	if !ended.Off() {
		return nil, fmt.Errorf("the machine has not ended")
	}
	f.flag = strings.Contains(ended.Console(), "Restarting system with command '"+update.TryCommand+"'")
	return f.PowerOn(t)
}
