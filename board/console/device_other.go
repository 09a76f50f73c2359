//go:build !linux

package console

import "io/fs"

// deviceOf tells one device from another, by its path.
func deviceOf(path string, _ fs.FileInfo) string { return path }
