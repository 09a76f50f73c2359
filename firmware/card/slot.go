package card

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"cheeseboard/firmware/update"
)

//go:embed files/config.txt
var configText []byte

//go:embed files/cmdline.txt
var commandLine []byte

// What of a kernel's modules a mirror has no use for: everything that it needs is built
// in, and what a strange device on the USB could load should be little.
var unusedModules = []string{"kernel/drivers/media", "kernel/drivers/xen"}

// firmwareFiles are those that a Pi loads before the kernel. bootcode.bin, for a Pi 3, is
// in the first partition.
var firmwareFiles = []string{"start.elf", "start4.elf", "fixup.dat", "fixup4.dat"}

// slotFiles are what is in a slot.
func (p Parts) slotFiles(o Options, licences []byte) ([]File, error) {
	kernel, firmware := os.DirFS(p.Kernel.Dir), os.DirFS(p.Firmware.Dir)
	files, err := readFiles(firmware, "", firmwareFiles...)
	if err != nil {
		return nil, err
	}
	trees, err := readFiles(kernel, "", "*.dtb")
	if err != nil {
		return nil, err
	}
	overlays, err := readFiles(kernel, "", "overlays/*.dtb*")
	if err != nil {
		return nil, err
	}
	modules, err := moduleFiles(kernel)
	if err != nil {
		return nil, err
	}
	image, err := fs.ReadFile(kernel, "vmlinuz")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(p.Program)
	if err != nil {
		return nil, err
	}
	initramfs, err := p.initramfs(o)
	if err != nil {
		return nil, err
	}
	for _, part := range [][]File{trees, overlays, modules} {
		files = append(files, part...)
	}
	return append(files,
		File{Name: "config.txt", Content: configText},
		File{Name: "cmdline.txt", Content: commandLine},
		File{Name: "vmlinuz", Content: squeeze(image)},
		File{Name: "initramfs.gz", Content: squeeze(initramfs)},
		File{Name: "cheeseboard", Content: program},
		File{Name: "licences.txt", Content: licences},
	), nil
}

// initramfs is the first file system: init, what it says of itself, and whom it
// trusts.
func (p Parts) initramfs(o Options) ([]byte, error) {
	program, err := os.ReadFile(p.Init)
	if err != nil {
		return nil, err
	}
	authorities, err := os.ReadFile(p.Authorities)
	if err != nil {
		return nil, err
	}
	public, err := update.PublicPEM(o.Key)
	if err != nil {
		return nil, err
	}
	release, err := json.Marshal(o.release())
	if err != nil {
		return nil, err
	}
	files := []File{
		{Name: "init", Content: program, Program: true},
		// Where programs in Go look first.
		{Name: "etc/ssl/certs/ca-certificates.crt", Content: authorities},
		{Name: strings.TrimPrefix(update.ReleasePath, "/"), Content: release},
		{Name: strings.TrimPrefix(path.Join(update.KeysPath, "release.pem"), "/"), Content: public},
		{Name: "etc/passwd", Content: []byte("root:x:0:0::/:\ncheeseboard:x:1000:1000::/data/cheeseboard:\n")},
		{Name: "etc/group", Content: []byte("root:x:0:\ncheeseboard:x:1000:\n")},
		{Name: "etc/hosts", Content: []byte("127.0.0.1 localhost\n::1 localhost\n")},
	}
	return archive(files, []string{"boot", "data", "dev", "proc", "run", "slot", "sys", "tmp"}, o.Made), nil
}

// moduleFiles are the modules of a kernel, and the lists by which they are found.
func moduleFiles(kernel fs.FS) ([]File, error) {
	releases, err := fs.Glob(kernel, "lib/modules/*")
	if err != nil {
		return nil, err
	}
	if len(releases) != 1 {
		return nil, fmt.Errorf("the kernel has modules of %d releases, %q; one is wanted", len(releases), releases)
	}
	files, err := readFiles(kernel, "", path.Join(releases[0], "modules.dep"), path.Join(releases[0], "modules.alias"),
		path.Join(releases[0], "modules.builtin"))
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(kernel, releases[0], func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".ko") {
			return err
		}
		for _, unused := range unusedModules {
			if strings.HasPrefix(name, path.Join(releases[0], unused)+"/") {
				return nil
			}
		}
		content, err := fs.ReadFile(kernel, name)
		files = append(files, File{Name: name, Content: content})
		return err
	})
	return files, err
}

// squeeze compresses with gzip, the same each time.
func squeeze(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes it all
	}
	return out.Bytes()
}
