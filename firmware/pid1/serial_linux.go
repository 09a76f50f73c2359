package pid1

import (
	"os"
	"path/filepath"
	"strings"
)

// serialPort finds the serial port of the header, by what the device tree below root calls
// serial0; "" where it does not say, or the port is not there yet.
func serialPort(root string) string {
	raw, err := os.ReadFile(filepath.Join(root, "proc/device-tree/aliases/serial0"))
	if err != nil {
		return ""
	}
	node := strings.TrimRight(string(raw), "\x00")
	ports, err := filepath.Glob(filepath.Join(root, "sys/class/tty/*/device/of_node"))
	if err != nil {
		return ""
	}
	for _, port := range ports {
		if real, err := filepath.EvalSymlinks(port); err == nil && strings.HasSuffix(real, "/devicetree/base"+node) {
			return filepath.Base(filepath.Dir(filepath.Dir(port)))
		}
	}
	return ""
}

// linkSerial gives that port the name under which people look for it.
func linkSerial() {
	if name := serialPort("/"); name != "" {
		_ = os.Symlink(name, "/dev/serial0") // it may be there already
	}
}
