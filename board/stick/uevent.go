package stick

import (
	"bytes"
	"strings"
)

// Event is what the kernel says when a device comes, goes or changes
// (Documentation/core-api/kobject.rst): the fields that matter here.
type Event struct {
	Action    string // "add", "remove", "change", ...
	Path      string // of the device below /sys: "/devices/.../block/sda/sda1"
	Subsystem string // "block"
	Type      string // of a block device: "disk" or "partition"
	Name      string // below /dev: "sda1"
}

// maxEvent is the size of the largest message that the kernel sends, in bytes.
const maxEvent = 8 << 10

// parseEvent reads a message of the kernel: a head "ACTION@PATH", then KEY=VALUE, each
// ended by a zero byte. What udev sends in the same form begins otherwise, and is none.
func parseEvent(message []byte) (Event, bool) {
	if len(message) > maxEvent {
		return Event{}, false
	}
	head, rest, ok := bytes.Cut(message, []byte{0})
	action, path, found := strings.Cut(string(head), "@")
	if !ok || !found || !plainWord(action) || !strings.HasPrefix(path, "/devices/") || !sound(path) {
		return Event{}, false
	}
	e := Event{Action: action, Path: path}
	for field := range bytes.SplitSeq(rest, []byte{0}) {
		key, value, ok := strings.Cut(string(field), "=")
		if !ok {
			continue
		}
		switch key {
		case "ACTION":
			if value != action {
				return Event{}, false
			}
		case "DEVPATH":
			if value != path {
				return Event{}, false
			}
		case "SUBSYSTEM":
			e.Subsystem = value
		case "DEVTYPE":
			e.Type = value
		case "DEVNAME":
			e.Name = value
		}
	}
	if e.Name != "" && !deviceName(e.Name) {
		return Event{}, false
	}
	return e, true
}

// plainWord tells whether s is a word of lower-case letters.
func plainWord(s string) bool {
	return s != "" && len(s) <= 16 && !strings.ContainsFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
}

// sound tells whether a path names nothing but what is below it.
func sound(path string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// deviceName tells whether s is the name of a block device right below /dev.
func deviceName(s string) bool {
	return s != "" && len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
