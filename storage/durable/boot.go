package durable

import (
	"os"
	"strings"
)

// BootID tells this boot of the machine from others; "" where the kernel does not
// say.
func BootID() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}
