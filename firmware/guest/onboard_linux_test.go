package guest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/board/led"
	"cheeseboard/firmware/guest"
)

// playOnBoard plays on a light of the kernel: that of a keyboard, the only one that
// this machine has.
func playOnBoard(s *guest.Stage) error {
	const pattern = "/sys/class/leds/*::capslock"
	var found []string
	for n := 0; n < 100 && len(found) == 0; n++ { // it appears when the keyboard was asked
		var err error
		if found, err = filepath.Glob(pattern); err != nil {
			return err
		}
		<-time.After(100 * time.Millisecond)
	}
	if len(found) == 0 {
		return errors.New("there is no light " + pattern)
	}
	trigger := filepath.Join(found[0], "trigger")
	if err := os.WriteFile(trigger, []byte("kbd-numlock"), 0); err != nil { // as a board's has one
		return err
	}
	light, err := led.OpenOnBoard(filepath.Base(found[0]), false)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		colour led.Colour
		want   string
	}{{led.White, "1"}, {led.Off, "0"}, {led.Blue, "1"}} {
		if err := light.Set(c.colour); err != nil {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(found[0], "brightness"))
		if got := strings.TrimSpace(string(raw)); err != nil || got != c.want {
			return fmt.Errorf("set to %s, the kernel has %q (%w)", c.colour, got, err)
		}
	}
	own, err := os.ReadFile(trigger)
	if err != nil || !strings.Contains(string(own), "[none]") {
		return fmt.Errorf("the kernel still has its own rhythm: %s (%w)", own, err)
	}
	if err := light.Restore(); err != nil {
		return err
	}
	given, err := os.ReadFile(trigger)
	if err != nil || !strings.Contains(string(given), "[kbd-numlock]") {
		return fmt.Errorf("the kernel has not got its rhythm back: %s (%w)", given, err)
	}
	return light.Close()
}

// TestOnBoard: a light of a real kernel is taken, lit, darkened and given back.
func TestOnBoard(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "onboard", guest.Machine{Modules: []string{"atkbd", "input-leds"}, OwnTime: true})
	g.Next("ended", 5*time.Minute, nil)
}
