package guest_test

import (
	"os"
	"os/exec"
	"path/filepath"
)

// plug puts a stick with a file on it into the box.
func (b *updated) plug(path string) {
	b.t.Helper()
	image := filepath.Join(b.t.TempDir(), "stick")
	f, err := os.Create(image)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := f.Truncate(128 << 20); err != nil {
		b.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mkfs.vfat", "-n", "STICK", image}, {"mcopy", "-i", image, path, "::/" + filepath.Base(path)},
	} {
		if out, err := exec.CommandContext(b.ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			b.t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	for _, command := range []struct {
		name      string
		arguments map[string]any
	}{
		{"blockdev-add", map[string]any{"driver": "raw", "node-name": "stick", "file": map[string]any{"driver": "file", "filename": image}}},
		{"device_add", map[string]any{"driver": "usb-storage", "id": "plugged", "drive": "stick"}},
	} {
		if err := b.QMP.Do(command.name, command.arguments, nil); err != nil {
			b.t.Fatal(err)
		}
	}
}
