package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// lastResort mounts the partition read-only, if what makes it worth that is there, and gives
// the size of its file system in bytes.
func (v *Volume) lastResort() (size int64, err error) {
	v.aside = nil // there is no place for it
	super, half, err := v.look()
	switch {
	case half:
		return 0, errors.New("a new file system is half made")
	case err != nil:
		return 0, err
	}
	if err := v.System.MountReadOnly(v.Device, v.Folder); err != nil {
		return 0, fmt.Errorf("mount the partition for data read-only: %w", err)
	}
	err = walk(v.Folder, 2)
	if err == nil && v.Worth != "" {
		_, err = os.ReadFile(filepath.Join(v.Folder, v.Worth))
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("look at what is on the partition for data: %w", err), v.System.Unmount(v.Folder))
	}
	return int64(super.Blocks) * super.BlockSize, nil
}
