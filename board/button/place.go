package button

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrNone: this board has no place for a button that is known.
var ErrNone = errors.New("there is no button")

// OfBoard is the line of the button where nobody has named one: GPIO3 of a Raspberry
// Pi, which also wakes it up when it is switched off. Where that line is I2C's, which
// may be the clock's with a battery, it is left alone. root is the machine's "/".
func OfBoard(root string) (line string, err error) {
	raw, err := os.ReadFile(filepath.Join(root, "/proc/device-tree/model"))
	if err != nil || !strings.HasPrefix(string(raw), "Raspberry Pi") {
		return "", fmt.Errorf("%w: this is no Raspberry Pi; button.line can name its line", ErrNone)
	}
	for _, bus := range []string{"i2c-0", "i2c-1"} {
		of, err := filepath.EvalSymlinks(filepath.Join(root, "/sys/bus/i2c/devices", bus))
		if err != nil || bus == "i2c-0" && !strings.HasPrefix(string(raw), "Raspberry Pi Model B Rev 1") {
			continue
		}
		return "", fmt.Errorf("%w: GPIO3 belongs to I2C (%s); button.line can name another line", ErrNone, filepath.Base(of))
	}
	return "GPIO3", nil
}
