package card

import (
	"bytes"
	"context"
	"crypto/ed25519"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"

	"cheeseboard/firmware/update"
)

// Parts are what a card is made of.
type Parts struct {
	Program, Init    string // paths of the programs, for linux/arm64
	Authorities      string // path of the certificates whom the programs trust, in PEM
	Kernel, Firmware Module // github.com/gokrazy/kernel.rpi and github.com/gokrazy/firmware
	Modules          []Module
	GoRoot           string // folder of the Go distribution, for its licence
	Checker          Module // Debian's package e2fsck-static, unpacked
}

// Options say what is to be built.
type Options struct {
	Version update.Version
	Floor   update.Version // the oldest version that may be installed where this one runs
	Key     ed25519.PrivateKey
	Made    time.Time // what all files bear; whole seconds
	Out     string    // the folder for the results, which exists
	Log     func(format string, args ...any)

	layout [4]Extent // all 0: Layout
}

// Board is what the image and the bundles are for: every Raspberry Pi that can run 64-bit
// programs.
const Board = "raspberrypi-arm64"

// Names are what the results of a version are called.
type Names struct{ Image, Bundle, Bill, Licences, Releases string }

// NamesOf gives the names of a version.
func NamesOf(v update.Version) Names {
	base := "cheeseboard-" + v.String()
	return Names{base + "-arm64.img.gz", base + "-arm64.update", base + ".cdx.json", base + "-licences.txt", "releases.json"}
}

//go:embed files/cheeseboard.toml
var configurationText []byte

//go:embed files/readme.txt
var readmeText []byte

// Build makes the image, the update bundle, the list of releases with it alone, the bill of what is in them, its licences, and
// the signed digests of all of it, in the folder Out. It needs mkfs.vfat, mtools and
// mkfs.ext4.
func (p Parts) Build(ctx context.Context, o Options) (err error) {
	names := NamesOf(o.Version)
	if o.layout == [4]Extent{} {
		o.layout = Layout()
	}
	contents, err := p.bill(o)
	if err != nil {
		return err
	}
	document, err := contents.document()
	if err != nil {
		return err
	}
	texts := contents.licences()
	if err := errors.Join(os.WriteFile(filepath.Join(o.Out, names.Bill), document, 0o644),
		os.WriteFile(filepath.Join(o.Out, names.Licences), texts, 0o644)); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "card")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	o.Log("fill the slot")
	data := volume{filepath.Join(work, "data"), o.layout[3].Size, DataLabel, o.Made}
	if err := data.makeExt4(ctx); err != nil {
		return fmt.Errorf("make the data partition: %w", err)
	}
	slot := volume{filepath.Join(work, "slot"), o.layout[1].Size, "CHEESEBOARD", o.Made}
	files, err := p.slotFiles(o, data.path, texts)
	if err != nil {
		return fmt.Errorf("gather what is in a slot: %w", err)
	}
	if err := slot.makeFAT(ctx, 32, 2, files); err != nil {
		return fmt.Errorf("make the slot: %w", err)
	}
	if err := p.image(ctx, o, work, slot.path, data.path); err != nil {
		return err
	}
	o.Log("make the bundle")
	if err := bundle(o, slot.path, filepath.Join(work, "packed")); err != nil {
		return err
	}
	if err := writeReleases(o); err != nil {
		return err
	}
	return writeSums(o.Out, o.Key, names.Image, names.Bundle, names.Bill, names.Licences, names.Releases)
}

// image makes the image around a slot, and the content of the data partition.
func (p Parts) image(ctx context.Context, o Options, work, slot, data string) error {
	files, err := p.firstFiles()
	if err != nil {
		return fmt.Errorf("gather what is in the first partition: %w", err)
	}
	first := volume{filepath.Join(work, "first"), o.layout[0].Size, "CHEESE", o.Made}
	if err := first.makeFAT(ctx, 16, 1, files); err != nil {
		return fmt.Errorf("make the first partition: %w", err)
	}
	raw := filepath.Join(work, "image")
	if err := assemble(raw, o.layout, [4]string{first.path, slot, "", data}); err != nil {
		return fmt.Errorf("put the card together: %w", err)
	}
	o.Log("compress the image")
	return compress(filepath.Join(o.Out, NamesOf(o.Version).Image), raw)
}

// bundle makes the update bundle of a slot. The file packed is for its own use.
func bundle(o Options, slot, packed string) error {
	in, err := os.Open(slot)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	scratch, err := os.Create(packed)
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(o.Out, NamesOf(o.Version).Bundle))
	if err != nil {
		return errors.Join(err, scratch.Close())
	}
	used, err := update.Used(in)
	if err == nil {
		_, err = update.Write(out, o.release(), io.NewSectionReader(in, 0, used), scratch, o.Key)
	}
	return errors.Join(err, out.Close(), scratch.Close())
}

func (o Options) release() update.Release {
	return update.Release{Version: o.Version, Board: Board, Floor: o.Floor}
}

// DataLabel is the label of the data partition.
const DataLabel = "cheeseboard-data"

// firstFiles are what is in the first partition. There is nothing in config.txt: those
// of the slots count, but firmware that finds none looks no further.
func (p Parts) firstFiles() ([]File, error) {
	files, err := readFiles(os.DirFS(p.Firmware.Dir), "", "bootcode.bin")
	if err != nil {
		return nil, err
	}
	// A whole sector: it is rewritten in place.
	choice, err := update.Autoboot{Default: update.SlotA, Try: update.SlotB}.Text(sector)
	return append(files,
		File{Name: "autoboot.txt", Content: choice},
		File{Name: "config.txt", Content: []byte("# The slot's config.txt is the one that counts.\n")},
		File{Name: "cheeseboard.toml", Content: configurationText},
		File{Name: "readme.txt", Content: dos(readmeText)},
	), err
}

// dos ends lines as the plainest editors want it.
func dos(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }

// compress writes a file with gzip, the same each time.
func compress(target, source string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	w := gzip.NewWriter(out)
	_, err = io.Copy(w, in)
	if err := errors.Join(err, w.Close(), out.Close()); err != nil {
		return fmt.Errorf("compress %s: %w", filepath.Base(target), err)
	}
	return nil
}
