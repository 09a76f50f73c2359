package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cheeseboard/storage/pypi"
)

// Expire removes the partial of a digest, for which there is no room or no use any
// more; ErrBusy while somebody writes it. What has its name already, and waits to
// be recorded, stays.
func (d *Dir) Expire(digest pypi.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[digest] {
		return fmt.Errorf("expire blob %s: %w", digest, ErrBusy)
	}
	if _, err := os.Stat(d.partPath(digest)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.disk.Remove(d.partPath(digest)); err != nil {
		return err
	}
	return d.disk.Remove(d.statePath(digest))
}

// Quarantined is the number of bytes that lie in the quarantine.
func (d *Dir) Quarantined() (int64, error) {
	infos, err := d.aside()
	var n int64
	for _, info := range infos {
		n += info.Size()
	}
	return n, err
}

// ClearQuarantine removes what lies in the quarantine: it is for people to look at,
// and must not stand in the way of what is to be served.
func (d *Dir) ClearQuarantine() error {
	infos, err := d.aside()
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := d.disk.Remove(filepath.Join(d.quarantine, info.Name())); err != nil {
			return err
		}
	}
	return nil
}

// aside lists the files in the quarantine.
func (d *Dir) aside() (infos []fs.FileInfo, err error) {
	entries, err := os.ReadDir(d.quarantine)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			infos = append(infos, info)
		}
	}
	return infos, nil
}
