package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cheeseboard/storage/pypi"
)

// Take copies a finished blob from another folder into this one, and reads back
// from the disk what it has written. One that is here already, as long as the
// other, is left: it got its name after the same. It returns the bytes that it
// copied. before is called ahead of each piece, and its error ends it. Errors:
// ErrNotFound; a *MismatchError when the other folder's bytes are wrong.
func (d *Dir) Take(digest pypi.Digest, from *Dir, before func() error) (copied int64, err error) {
	size, err := from.Size(digest)
	if err != nil {
		return 0, err
	}
	if here, err := d.Size(digest); err == nil && here == size {
		return 0, nil
	}
	source, err := from.OpenBlob(digest)
	if err != nil {
		return 0, err
	}
	defer func() { _ = source.Close() }() // only read
	temp := filepath.Join(d.partials, digest.String()+".new")
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("take over blob %s: %w", digest, err), d.disk.Remove(temp))
		}
	}()
	if copied, err = d.copyOut(temp, digest, source, before); err != nil {
		return 0, err
	}
	if err := readBackFile(temp, digest, before); err != nil {
		return 0, err
	}
	final := d.path(digest)
	if err := d.disk.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return 0, err
	}
	return copied, d.disk.Publish(temp, final)
}

// copyOut writes a blob's bytes to a new file and makes them durable.
func (d *Dir) copyOut(path string, digest pypi.Digest, source io.Reader, before func() error) (n int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	buffer := make([]byte, coldPiece)
	for {
		if err := before(); err != nil {
			return n, err
		}
		got, err := source.Read(buffer)
		_, _ = h.Write(buffer[:got]) // hash.Hash never fails
		if _, err := f.Write(buffer[:got]); err != nil {
			return n, err
		}
		n += int64(got)
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, err
		}
	}
	if got := pypi.Digest(h.Sum(nil)); got != digest {
		return n, &MismatchError{Want: digest, Got: got, WantSize: pypi.SizeUnknown, GotSize: n}
	}
	if err := f.Chmod(0o444); err != nil {
		return n, err
	}
	if err := d.disk.Sync(f); err != nil {
		return n, err
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // what is read back is to come from the disk
	return n, nil
}

// readBackFile looks whether a disk has kept what was written to it.
func readBackFile(path string, digest pypi.Digest, before func() error) error {
	h := sha256.New()
	_, err := readCold(path, func(int) error { return before() }, func(b []byte) { _, _ = h.Write(b) })
	if err != nil {
		return err
	}
	if !bytes.Equal(h.Sum(nil), digest[:]) {
		return errors.New("the disk does not keep what is written to it")
	}
	return nil
}

// Partials lists the digests of the partials on disk.
func (d *Dir) Partials() ([]pypi.Digest, error) {
	entries, err := os.ReadDir(d.partials)
	if err != nil {
		return nil, fmt.Errorf("list partials: %w", err)
	}
	var list []pypi.Digest
	for _, e := range entries {
		stem, ours := strings.CutSuffix(e.Name(), ".part")
		if digest, err := pypi.ParseDigest(stem); ours && err == nil {
			list = append(list, digest)
		}
	}
	return list, nil
}

// TakePart copies what is here of a partial, or the rest of it, from another
// folder, also while that is being written. With last, when it is not any more,
// the state comes too, as that of another boot: the bytes are looked at before
// anybody goes on from them. It returns the bytes that it copied.
func (d *Dir) TakePart(digest pypi.Digest, from *Dir, last bool) (copied int64, err error) {
	source, err := os.Open(from.partPath(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // finished meanwhile
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = source.Close() }() // only read
	info, err := source.Stat()
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(d.partPath(digest), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	have, err := f.Seek(0, io.SeekEnd)
	if err == nil && have > info.Size() { // it was begun again
		have = 0
		err = f.Truncate(0)
	}
	if err != nil {
		return 0, err
	}
	copied, err = io.Copy(io.NewOffsetWriter(f, have), io.NewSectionReader(source, have, info.Size()-have))
	if err != nil || !last {
		return copied, err
	}
	if err := d.disk.Sync(f); err != nil {
		return copied, err
	}
	s, err := from.readState(digest)
	if err != nil {
		return copied, nil // it starts again there too
	}
	s.BootID, s.Version = "", max(s.Version, oldVersion)
	raw, err := s.encode()
	if err != nil {
		return copied, err
	}
	return copied, d.disk.WriteFile(d.statePath(digest), raw, 0o644)
}

// TakeStates copies the states of blobs that have their names and are not yet
// recorded. Nobody may write to the other folder meanwhile.
func (d *Dir) TakeStates(from *Dir) error {
	entries, err := os.ReadDir(from.partials)
	if err != nil {
		return fmt.Errorf("list partials: %w", err)
	}
	for _, e := range entries {
		stem, ours := strings.CutSuffix(e.Name(), ".state")
		digest, err := pypi.ParseDigest(stem)
		if !ours || err != nil || from.Have(digest) > 0 {
			continue
		}
		raw, err := os.ReadFile(from.statePath(digest))
		if err == nil {
			err = d.disk.WriteFile(d.statePath(digest), raw, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
