package console

import (
	"fmt"
	"io/fs"
	"syscall"
)

// deviceOf tells one device from another, by whatever path it was found.
func deviceOf(path string, info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode()&fs.ModeDevice != 0 {
		return fmt.Sprintf("device %d", s.Rdev)
	}
	return path
}
