package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"cheeseboard/storage/pypi"
)

// DamageError says that the disk has not kept bytes that it had taken: whoever
// sent them is not to blame. The partial has been thrown away.
type DamageError struct {
	Digest pypi.Digest
	Bytes  int64 // of which some are wrong
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("blob %s: the disk has not kept its first %d bytes as they were written; they are fetched again. If this comes again, replace the disk or card", e.Digest, e.Bytes)
}

// resume takes up what an earlier run left. An error means: start from zero, unless it is
// a passing one.
func (p *Partial) resume() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	old, err := p.dir.readState(p.digest)
	if errors.Is(err, fs.ErrNotExist) {
		if info.Size() == 0 {
			return nil
		}
		return errors.New("its state file is missing")
	}
	if err != nil {
		return err
	}
	sameBoot := old.BootID != "" && old.BootID == p.dir.bootID
	at, err := p.choose(old, info.Size(), sameBoot)
	if err != nil {
		return err
	}
	if p.hash, err = old.points()[at].hashState(); err != nil {
		return err
	}
	p.state.checkpoint, p.state.Before = old.points()[at], old.points()[at+1:]
	p.state.Unread, p.state.UnreadSum, p.state.Validator = old.Unread, old.UnreadSum, old.Validator
	p.offset = p.state.Synced
	verified := !sameBoot && old.Version == oldVersion
	if !verified && (!sameBoot || old.Unread > p.offset) {
		p.state.Unread, p.state.UnreadSum = p.offset, p.hash.Sum(nil)
	}
	switch {
	case verified:
		err = p.recheck()
	case !sameBoot:
		err = p.file.Truncate(p.offset)
	case at > 0:
		err = p.file.Truncate(p.offset) // what is behind it is in doubt
	default:
		// Bytes behind the synced ones are whole if only the program ended: the
		// kernel has them.
		var n int64
		n, err = io.Copy(io.MultiWriter(p.hash, p.block), io.NewSectionReader(p.file, p.offset, info.Size()-p.offset))
		p.offset += n
	}
	if err == nil && p.state.Size >= 0 && p.offset > p.state.Size {
		return fmt.Errorf("it has %d bytes, the index now states %d", p.offset, p.state.Size)
	}
	return err
}

// choose finds the newest checkpoint that the file can be trusted to hold. Within
// one boot the kernel has the bytes. After another boot they are what the disk
// made of them, and cheap cards lie: the block before the checkpoint is read back,
// and where it is not what was written, an earlier one has to do.
func (p *Partial) choose(old state, length int64, sameBoot bool) (int, error) {
	points := old.points()
	for i, c := range points {
		if !c.sane() {
			return 0, errors.New("its state is garbled")
		}
		if c.Synced > length {
			continue
		}
		good := sameBoot && i == 0 || old.Version == oldVersion || c.Synced == 0
		if !good {
			var err error
			if good, err = c.holds(p.file); err != nil {
				return 0, fmt.Errorf("read its bytes: %w", err)
			}
		}
		if !good {
			continue
		}
		if i > 0 {
			p.dir.log.Warn("partial goes on before bytes that the disk did not keep", "digest", p.digest.String(), "at", c.Synced, "instead of", old.Synced)
		}
		return i, nil
	}
	if length < old.Synced {
		return 0, fmt.Errorf("%d bytes are left of %d", length, old.Synced)
	}
	return 0, fmt.Errorf("the last bytes of its first %d are not those that were written", old.Synced)
}

// recheck reads the bytes up to the checkpoint and compares them with the hash
// that it has of them. The rest is cut off.
func (p *Partial) recheck() error {
	if err := p.file.Truncate(p.offset); err != nil {
		return err
	}
	same, err := p.reads(p.offset, p.hash.Sum(nil))
	if err == nil && !same {
		return fmt.Errorf("its first %d bytes are not those that were written", p.offset)
	}
	return err
}

// reads hashes the first n bytes of the file and compares.
func (p *Partial) reads(n int64, want []byte) (bool, error) {
	h := sha256.New()
	got, err := io.Copy(h, io.NewSectionReader(p.file, 0, n))
	if err != nil {
		return false, fmt.Errorf("read its bytes: %w", err)
	}
	return got == n && bytes.Equal(h.Sum(nil), want), nil
}

// readBack makes sure that the disk holds what an earlier boot wrote, which only
// the hash that was carried on speaks for. It reads once, at the end, however
// often the download went on after a boot.
func (p *Partial) readBack() error {
	if p.state.Unread == 0 {
		return nil
	}
	same, err := p.reads(p.state.Unread, p.state.UnreadSum)
	if err != nil || same {
		return err
	}
	bad := &DamageError{Digest: p.digest, Bytes: p.state.Unread}
	p.dir.log.Error("the disk did not keep what was written", "digest", p.digest.String(), "bytes", p.state.Unread)
	return errors.Join(bad, p.Reset())
}

// truncate begins the file anew.
func (p *Partial) truncate() error {
	p.empty()
	p.failed = nil
	return p.file.Truncate(0)
}

// empty makes hashes and state those of no bytes.
func (p *Partial) empty() {
	p.hash = sha256.New()
	p.block.Reset()
	p.offset = 0
	p.state.forget()
}

// openPart opens the file, or makes it.
func (d *Dir) openPart(digest pypi.Digest) (*os.File, error) {
	path := d.partPath(digest)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, fs.ErrPermission) {
		// Finish had made it read-only when it was cut off.
		if err := os.Chmod(path, 0o644); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0o644)
	}
	return f, err
}
