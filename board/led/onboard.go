package led

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// classFolder is where the kernel shows the lights that it knows.
const classFolder = "/sys/class/leds"

// activity are the names of the light on a board that belongs to nobody in
// particular. PWR and led1 belong to the firmware.
var activity = []string{"ACT", "led0"}

// ErrNone: there is no such light on this machine.
var ErrNone = errors.New("there is no light")

// OnBoard is a light that the kernel shows as a folder with the file brightness. Its
// rhythm is the caller's: the kernel's is switched off as long as it is open.
type OnBoard struct {
	folder     string
	brightness *os.File
	most       string
	invert     bool
	before     string // the kernel's rhythm when it was opened; "" unknown
}

// OpenOnBoard opens a light: by its name below /sys/class/leds, by its folder, or for
// "auto" the first that is there of ACT and led0. invert: it is lit when it is told to be
// dark. ErrNone where it is not there.
func OpenOnBoard(name string, invert bool) (*OnBoard, error) {
	return openIn(classFolder, name, invert)
}

func openIn(class, name string, invert bool) (*OnBoard, error) {
	names := activity
	if name != "auto" {
		names = []string{name}
	}
	for _, n := range names {
		folder := n
		if !filepath.IsAbs(n) {
			folder = filepath.Join(class, n)
		}
		// The entries of the class are links: what is allowed to a confined process is
		// what they lead to.
		real, err := filepath.EvalSymlinks(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open light %s: %w", n, err)
		}
		return openFolder(real, invert)
	}
	return nil, fmt.Errorf("%w %s in %s", ErrNone, strings.Join(names, " or "), class)
}

func openFolder(folder string, invert bool) (*OnBoard, error) {
	l := &OnBoard{folder: folder, most: "1", invert: invert}
	if raw, err := readSmall(filepath.Join(folder, "max_brightness")); err == nil {
		if n, err := strconv.ParseUint(raw, 10, 31); err == nil && n > 0 {
			l.most = raw
		}
	}
	l.before = chosen(filepath.Join(folder, "trigger"))
	// Before the first setting: a rhythm of the kernel would go on beside ours.
	err := write(filepath.Join(folder, "trigger"), "none")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("take the light %s from the kernel: %w", folder, err)
	}
	if l.brightness, err = os.OpenFile(filepath.Join(folder, "brightness"), os.O_WRONLY, 0); err != nil {
		return nil, fmt.Errorf("open light: %w", err)
	}
	return l, nil
}

// Folder is where the light is, without links: a process that is confined must be
// able to write there as long as the light is open.
func (l *OnBoard) Folder() string { return l.folder }

// Set implements Light.
func (l *OnBoard) Set(c Colour) error {
	value := "0"
	if (c != Off) != l.invert {
		value = l.most
	}
	if _, err := l.brightness.WriteAt([]byte(value+"\n"), 0); err != nil {
		return fmt.Errorf("set light: %w", err)
	}
	return nil
}

// Restore gives the light back to the kernel's rhythm that it had, for programs that
// only borrow it.
func (l *OnBoard) Restore() error {
	if l.before == "" || l.before == "none" {
		return nil
	}
	return write(filepath.Join(l.folder, "trigger"), l.before)
}

// HandOver has the kernel go on with the rhythm of Wait, until the power is cut: for
// when the program ends before the machine does.
func (l *OnBoard) HandOver() error {
	steps := Pattern(Wait).Steps
	if err := write(filepath.Join(l.folder, "trigger"), "timer"); err != nil {
		return err
	}
	on := write(filepath.Join(l.folder, "delay_on"), strconv.FormatInt(steps[0].For.Milliseconds(), 10))
	return errors.Join(on, write(filepath.Join(l.folder, "delay_off"), strconv.FormatInt(steps[1].For.Milliseconds(), 10)))
}

// Close leaves the light as it is.
func (l *OnBoard) Close() error { return l.brightness.Close() }

// chosen reads which of the words in a file stands in brackets; "" where none does.
func chosen(path string) string {
	raw, err := readSmall(path)
	if err != nil {
		return ""
	}
	for word := range strings.FieldsSeq(raw) {
		if inner, ok := strings.CutPrefix(word, "["); ok && strings.HasSuffix(inner, "]") {
			return strings.TrimSuffix(inner, "]")
		}
	}
	return ""
}

// readSmall reads a file of a few words, and no more of a larger one.
func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, 16<<10))
	return strings.TrimSpace(string(raw)), err
}

// write sets a file of the kernel's. It is never made.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(value + "\n"))
	return errors.Join(err, f.Close())
}
