package card

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"cheeseboard/firmware/update"
)

//go:embed files/config.txt
var configText []byte

//go:embed files/cmdline.txt
var commandLine []byte

// firmwareFiles are those that a Pi loads before the kernel. bootcode.bin, for a Pi 3, is
// in the first partition.
var firmwareFiles = []string{"start.elf", "start4.elf", "fixup.dat", "fixup4.dat"}

// slotFiles are what is in a slot. There are no modules of the kernel: all that the box
// needs is built into it, and the others are for tuners, cameras, Xen, and for Bluetooth
// and Wi-Fi, for which there is no firmware. data is the path of the data partition's first content.
func (p Parts) slotFiles(o Options, data string, licences []byte) ([]File, error) {
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
	image, err := fs.ReadFile(kernel, "vmlinuz")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(p.Program)
	if err != nil {
		return nil, err
	}
	initramfs, err := p.initramfs(o, data)
	if err != nil {
		return nil, err
	}
	return append(slices.Concat(files, trees, overlays), []File{
		{Name: "config.txt", Content: configText},
		{Name: "cmdline.txt", Content: commandLine},
		{Name: "vmlinuz", Content: squeeze(image)},
		{Name: "initramfs.gz", Content: squeeze(initramfs)},
		{Name: "cheeseboard", Content: program},
		{Name: "licences.txt", Content: licences},
	}...), nil
}

// initramfs is the first file system, as firmware/pid1 expects it: init, what it says of
// itself, whom it trusts, and what it repairs the data partition with, or begins it anew.
func (p Parts) initramfs(o Options, data string) ([]byte, error) {
	var files []File
	for _, f := range []struct {
		name, from string
		program    bool
	}{
		{"init", p.Init, true},
		{"sbin/e2fsck", filepath.Join(p.Checker.Dir, "sbin", "e2fsck.static"), true},
		{"etc/ssl/certs/ca-certificates.crt", p.Authorities, false}, // where programs in Go look first
		{"etc/cheeseboard/data.ext4.gz", data, false},
	} {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return nil, err
		}
		if path.Ext(f.name) == ".gz" {
			content = squeeze(content)
		}
		files = append(files, File{Name: f.name, Content: content, Program: f.program})
	}
	public, err := update.PublicPEM(o.Key)
	if err != nil {
		return nil, err
	}
	release, err := json.Marshal(o.release())
	if err != nil {
		return nil, err
	}
	files = append(files,
		File{Name: strings.TrimPrefix(update.ReleasePath, "/"), Content: release},
		File{Name: strings.TrimPrefix(path.Join(update.KeysPath, "release.pem"), "/"), Content: public},
		File{Name: "etc/hosts", Content: []byte("127.0.0.1 localhost\n::1 localhost\n")})
	return archive(files, []string{"boot", "data", "dev", "proc", "run", "slot", "sys", "tmp"}, o.Made), nil
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
