package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"cheeseboard/firmware/machine"
)

const (
	chunkSize = 1 << 20 // bytes that are written and read at once
	// syncEvery bounds how many chunks wait in memory to be written: a board of 512 MB
	// has no room for a slot, and progress shall tell what is on the card.
	syncEvery = 8
)

// admit judges whether a bundle may be installed where a release runs.
func admit(running Release, m Manifest, room int64, again bool) error {
	switch {
	case m.Board != running.Board:
		return refuse(machine.WrongBoard, "the bundle is for %s, and this box is a %s: take the bundle for it", m.Board, running.Board)
	case m.Version.Compare(running.Floor) < 0:
		return refuse(machine.TooOld, "version %s is older than %s, and %s cannot go back further: take a newer one", m.Version, running.Floor, running.Version)
	case m.Version.Compare(running.Version) <= 0 && !again:
		return refuse(machine.TooOld, "version %s is not newer than %s, which runs: ask for it again if you want it all the same", m.Version, running.Version)
	case m.Size > room:
		return refuse(machine.TooLarge, "the slot has %d bytes and the image %d: write the card anew with the new image", room, m.Size)
	}
	return nil
}

// write puts a bundle's image into a slot that does not run. Before the first byte
// the slot's head is zeroed, and it is written last, when all else was read back
// from the card: at every moment the slot either cannot be started, or is whole.
// After an error the slot cannot be started.
func write(ctx context.Context, slot Area, b *Bundle, chunk int, report func(machine.Progress)) error {
	if err := clearHead(slot); err != nil {
		return err
	}
	image, err := b.image()
	if err != nil {
		return err
	}
	in := &installation{slot: slot, b: b, report: report, buf: make([]byte, chunk)}
	head := make([]byte, headSize)
	if _, err := io.ReadFull(image, head); err != nil {
		return shortImage(err)
	}
	sum := sha256.New()
	sum.Write(head)
	if err := in.stream(ctx, image, sum); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != b.SHA256 {
		return refuse(machine.Corrupt, "the image is not the one that was signed (SHA-256 %s instead of %s): fetch it anew", got, b.SHA256)
	}
	if err := in.readBack(ctx, head); err != nil {
		return err
	}
	return writeHead(slot, head)
}

// clearHead makes a slot one that nothing can start, durably.
func clearHead(slot Area) error {
	_, err := slot.WriteAt(make([]byte, headSize), 0)
	if err == nil {
		err = slot.Sync()
	}
	if err != nil {
		return fmt.Errorf("clear the head of the slot: %w", err)
	}
	return nil
}

// writeHead is the commit point of an installation: from here on the slot can be
// started. It is one write, and what follows only looks whether it arrived.
func writeHead(slot Area, head []byte) error {
	_, err := slot.WriteAt(head, 0)
	if err == nil {
		err = slot.Sync()
	}
	got := make([]byte, headSize)
	if err == nil {
		_, err = slot.ReadAt(got, 0)
	}
	if err == nil && !bytes.Equal(got, head) {
		err = errCard
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the head of the slot: %w", err), clearHead(slot))
	}
	return nil
}

// errCard: what was written is not what is read.
var errCard = errors.New("the card does not keep what is written to it: replace it")

// installation is one that is under way.
type installation struct {
	slot   Area
	b      *Bundle
	report func(machine.Progress)
	buf    []byte
}

// stream writes all behind the head.
func (in *installation) stream(ctx context.Context, image io.Reader, sum hash.Hash) error {
	unsynced := 0
	for at := int64(headSize); at < in.b.Size; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("install: %w", context.Cause(ctx))
		}
		chunk := in.buf[:min(int64(len(in.buf)), in.b.Size-at)]
		if _, err := io.ReadFull(image, chunk); err != nil {
			return shortImage(err)
		}
		sum.Write(chunk)
		if _, err := in.slot.WriteAt(chunk, at); err != nil {
			return fmt.Errorf("write the slot: %w", err)
		}
		at += int64(len(chunk))
		if unsynced++; unsynced >= syncEvery || at == in.b.Size {
			if err := in.slot.Sync(); err != nil {
				return fmt.Errorf("write the slot: %w", err)
			}
			unsynced = 0
		}
		in.report(machine.Progress{Stage: "write", Done: at, Total: in.b.Size})
	}
	if n, err := image.Read(in.buf[:1]); n > 0 || !errors.Is(err, io.EOF) {
		return shortImage(err)
	}
	return nil
}

// readBack reads from the card what was written, with the head as it will be.
func (in *installation) readBack(ctx context.Context, head []byte) error {
	sum := sha256.New()
	sum.Write(head)
	for at := int64(headSize); at < in.b.Size; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("install: %w", context.Cause(ctx))
		}
		chunk := in.buf[:min(int64(len(in.buf)), in.b.Size-at)]
		if _, err := in.slot.ReadAt(chunk, at); err != nil {
			return fmt.Errorf("read the slot back: %w", err)
		}
		sum.Write(chunk)
		at += int64(len(chunk))
		in.report(machine.Progress{Stage: "check", Done: at, Total: in.b.Size})
	}
	if hex.EncodeToString(sum.Sum(nil)) != in.b.SHA256 {
		return fmt.Errorf("read the slot back: %w", errCard)
	}
	return nil
}

// shortImage makes an error of one that came instead of the image.
func shortImage(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(machine.Corrupt, "the image in the bundle is shorter than the bundle says: fetch it anew")
	}
	return err
}
