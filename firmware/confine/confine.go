// Package confine takes away from this process what it does not need of the file
// system, for good, where the kernel has Landlock: whoever takes the process over
// reaches its data folder, and little else. Nothing has to be set up for it, and no
// privilege is needed.
package confine

import "errors"

// Access is what stays allowed of the file system; everything else is refused from
// then on. A path that does not exist is passed over.
type Access struct {
	// Write are folders and files in which everything is allowed but to run programs
	// and to make device files.
	Write []string
	// Read are folders and files that may be read.
	Read []string
	// Use are device files and folders of them, that may be read, written and
	// controlled, and where nothing may be made.
	Use []string
	// Run are programs, or folders of them, that may be run and read.
	Run []string
}

// ErrUnsupported: the kernel has no Landlock, or it is switched off, or this program
// was built so that it cannot be used (with cgo).
var ErrUnsupported = errors.New("the process cannot be confined here")
