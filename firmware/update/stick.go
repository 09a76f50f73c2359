package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cheeseboard/firmware/machine"
)

// StickPattern is how a bundle on a USB stick must be called, in its root.
const StickPattern = "cheeseboard-*.update"

// mostOnStick bounds how many files of a stick are looked at.
const mostOnStick = 16

// FromFolder installs the newest bundle in the root of a stick that is worth it.
// fs.ErrNotExist: there is none. Bundles that nobody whom the box trusts has signed
// are passed over, as are those for other boards; the error names them where nothing
// else is there. It follows no links.
func (u *Updater) FromFolder(ctx context.Context, folder string, report func(machine.Progress)) (machine.Installed, error) {
	var none machine.Installed
	paths, err := filepath.Glob(filepath.Join(folder, StickPattern))
	if err != nil || len(paths) == 0 {
		return none, errors.Join(fmt.Errorf("look for %s in %s: %w", StickPattern, folder, os.ErrNotExist), err)
	}
	best, errs := "", []error(nil)
	var newest Version
	for _, path := range paths[:min(len(paths), mostOnStick)] {
		m, err := u.look(path)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(path), err))
		case !u.Worth(m.Version):
			errs = append(errs, fmt.Errorf("%s: version %s is not newer, or was tried in vain: %w", filepath.Base(path), m.Version, os.ErrNotExist))
		case best == "" || m.Version.Compare(newest) > 0:
			best, newest = path, m.Version
		}
	}
	if best == "" {
		return none, errors.Join(errs...)
	}
	f, size, err := openRegular(best)
	if err != nil {
		return none, err
	}
	defer func() { _ = f.Close() }() // only read
	return u.Install(ctx, f, machine.UpdateOptions{Size: size}, report)
}

// look reads what a bundle says of itself, if it may be believed and is for this box.
func (u *Updater) look(path string) (Manifest, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := Open(f, u.Keys)
	switch {
	case err != nil:
		return Manifest{}, err
	case b.Board != u.Running.Board:
		return b.Manifest, refuse(machine.WrongBoard, "it is for %s, and this box is a %s", b.Board, u.Running.Board)
	case b.Length != size:
		return b.Manifest, refuse(machine.Truncated, "it has %d bytes and should have %d: copy it anew", size, b.Length)
	}
	return b.Manifest, nil
}

// openRegular opens a plain file, and nothing that would keep the reader waiting.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no plain file", path)
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}
