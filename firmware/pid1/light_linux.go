package pid1

import (
	"os"
	"path/filepath"
)

// onBoard are the names of the light that is on a board.
var onBoard = []string{"ACT", "led0"}

// wink has the kernel say with the light of the board, below root, to wait and not to
// unplug: before the program is there to say more, and after it has ended. The rhythm is
// that of the program's own vocabulary (board/led).
func wink(root string) {
	for _, name := range onBoard {
		folder := filepath.Join(root, "sys/class/leds", name)
		for _, setting := range []struct{ file, value string }{{"trigger", "timer"}, {"delay_on", "200"}, {"delay_off", "200"}} {
			if err := os.WriteFile(filepath.Join(folder, setting.file), []byte(setting.value), 0); err != nil {
				break // there is no such light, or the kernel has no rhythm
			}
		}
	}
}

// dark switches the light off: the machine can be unplugged.
func dark(root string) {
	for _, name := range onBoard {
		_ = os.WriteFile(filepath.Join(root, "sys/class/leds", name, "brightness"), []byte("0"), 0) // that ends a rhythm, too
	}
}
