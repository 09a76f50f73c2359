package blob

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// Partial is a blob that is still arriving. Its methods are for one goroutine at
// a time; others read along through a file of their own (Follow).
type Partial struct {
	dir    *Dir
	digest pypi.Digest
	state  state
	file   *os.File
	hash   hash.Hash
	block  hash.Hash32 // of the bytes since state.Synced
	offset int64       // bytes in file and in hash
	failed error       // what the file holds beyond state.Synced is not to be trusted

	claimed bool // this is the one writer of the digest
}

// Begin opens the partial of a digest, new or where it stopped. size may be
// pypi.SizeUnknown. The note is kept beside the partial and is what Unsettled
// gives back. ErrBusy when another writer has it, ErrExists when the blob is
// already whole.
func (d *Dir) Begin(digest pypi.Digest, size int64, note []byte) (_ *Partial, err error) {
	if err := d.claim(digest); err != nil {
		return nil, fmt.Errorf("begin blob %s: %w", digest, err)
	}
	p := &Partial{dir: d, digest: digest, hash: sha256.New(), block: newBlockSum(), claimed: true}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("begin blob %s: %w", digest, err), p.release())
		}
	}()
	p.state = state{Version: stateVersion, Digest: digest.String(), Size: size, Note: note}
	_, serr := os.Stat(d.statePath(digest))
	if p.file, err = d.openPart(digest); err != nil {
		return nil, err
	}
	if err = p.resume(); err != nil {
		if durable.Passing(err) {
			return nil, fmt.Errorf("take up what is here: %w", err) // which is worth more than one try
		}
		d.log.Warn("partial starts again", "digest", digest.String(), "reason", err)
		if err = p.truncate(); err != nil {
			return nil, err
		}
	}
	// The state must be there before the blob can get its name: it is what
	// recovery goes by. A first one is written plainly, and Finish makes it
	// durable. One that replaces another must not be torn by a cut, and must not
	// leave the other to speak of bytes that are no longer those of the file.
	p.state.Size, p.state.Note, p.state.BootID = size, note, d.bootID
	return p, p.writeState(!errors.Is(serr, fs.ErrNotExist))
}

// claim makes the caller the only writer of a digest. ErrExists when the blob is
// whole, ErrBusy when there is another.
func (d *Dir) claim(digest pypi.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[digest] {
		return ErrBusy
	}
	if _, err := os.Stat(d.path(digest)); err == nil {
		return ErrExists
	}
	d.open[digest] = true
	return nil
}

// writeState leaves a state alone that says the same already.
func (p *Partial) writeState(durably bool) error {
	raw, err := p.state.encode()
	if err != nil {
		return err
	}
	path := p.dir.statePath(p.digest)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, raw) {
		return nil
	}
	if durably {
		return p.dir.disk.WriteFile(path, raw, 0o644)
	}
	return os.WriteFile(path, raw, 0o644)
}

// Digest is what the bytes must have in the end.
func (p *Partial) Digest() pypi.Digest { return p.digest }

// Size is the length that the index states, or pypi.SizeUnknown.
func (p *Partial) Size() int64 { return p.state.Size }

// Offset is the number of bytes that are here: where a download goes on.
func (p *Partial) Offset() int64 { return p.offset }

// Validator is the ETag that the upstream gave with the bytes that are here.
func (p *Partial) Validator() string { return p.state.Validator }

// SetValidator notes the ETag of the bytes that follow. It is made durable
// together with them.
func (p *Partial) SetValidator(etag string) { p.state.Validator = etag }

// Write appends. It refuses bytes beyond the stated size with ErrTooLong and
// syncs on its own as the options say. When it fails for another reason (a full
// disk), what it counted is kept and the rest is cut off.
func (p *Partial) Write(b []byte) (int, error) {
	if p.failed != nil {
		return 0, p.failed
	}
	if p.state.Size >= 0 && int64(len(b)) > p.state.Size-p.offset {
		return 0, fmt.Errorf("write blob %s: %w", p.digest, ErrTooLong)
	}
	n, err := p.file.WriteAt(b, p.offset)
	p.hash.Write(b[:n]) // never fails, as hash.Hash says
	p.block.Write(b[:n])
	p.offset += int64(n)
	if err != nil {
		// n bytes are in both; a torn remainder must not be taken for bytes.
		p.failed = p.file.Truncate(p.offset)
		return n, fmt.Errorf("write blob %s: %w", p.digest, err)
	}
	if p.offset-p.state.Synced >= p.dir.syncEvery {
		if err := p.Sync(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Sync makes all bytes so far durable, then the state that speaks of them. When
// the disk fails to, the bytes since the last Sync are given up: the kernel does
// not try them again. The next Begin goes on before them.
func (p *Partial) Sync() error {
	if p.failed != nil || p.offset == p.state.Synced {
		return p.failed
	}
	if err := p.syncFile(); err != nil {
		return fmt.Errorf("sync blob %s: %w", p.digest, err)
	}
	m, ok := p.hash.(encoding.BinaryMarshaler)
	if !ok {
		return fmt.Errorf("sync blob %s: this build cannot save a hash state", p.digest)
	}
	h, err := m.MarshalBinary()
	if err != nil {
		return fmt.Errorf("sync blob %s: %w", p.digest, err)
	}
	old := p.state
	p.state.push(checkpoint{Synced: p.offset, Hash: h, From: old.Synced, Block: p.block.Sum32()})
	if err := p.writeState(true); err != nil {
		p.state = old // so that the next Sync tries again
		return fmt.Errorf("sync blob %s: %w", p.digest, err)
	}
	p.block.Reset()
	return nil
}

func (p *Partial) syncFile() error {
	if p.file == nil {
		return fs.ErrClosed
	}
	return p.synced(p.dir.disk.Sync(p.file))
}

// synced gives up the bytes since the last sync where one has failed.
func (p *Partial) synced(err error) error {
	if err != nil {
		p.failed = errors.Join(err, p.file.Truncate(p.state.Synced))
	}
	return err
}

// Reset throws the bytes away; the download starts from zero.
func (p *Partial) Reset() error {
	if p.file == nil {
		return fmt.Errorf("reset blob %s: %w", p.digest, fs.ErrClosed)
	}
	// The state first: it must not speak of other bytes than the file will hold.
	p.empty()
	if err := p.writeState(true); err != nil {
		p.failed = err
		return fmt.Errorf("reset blob %s: %w", p.digest, err)
	}
	if err := p.truncate(); err != nil {
		p.failed = err
		return fmt.Errorf("reset blob %s: %w", p.digest, err)
	}
	return nil
}

// Follow opens the growing bytes for a reader of its own. The file stays
// readable after Finish, since the bytes are the blob's; after Reset or a
// mismatch what it shows is void, and whoever shares it out must say so.
func (p *Partial) Follow() (*os.File, error) { return os.Open(p.dir.partPath(p.digest)) }

// Finish checks length and digest and gives the blob its final name. On nil the
// blob is durable, and its state file waits for Settle; until then, or until
// Close, the digest stays this writer's, and nothing removes the blob. A
// *MismatchError means that the bytes were wrong; they lie in the quarantine, the
// partial is closed, and the next Begin starts from zero. A *DamageError means that
// the disk lost bytes of an earlier boot, and that the download starts from zero.
// After other errors
// Finish may be called again, and Close keeps what is here.
func (p *Partial) Finish() (int64, error) {
	if p.file == nil {
		return 0, fmt.Errorf("finish blob %s: %w", p.digest, fs.ErrClosed)
	}
	if p.failed != nil {
		return 0, fmt.Errorf("finish blob %s: %w", p.digest, p.failed)
	}
	var got pypi.Digest
	p.hash.Sum(got[:0])
	if got != p.digest || p.state.Size >= 0 && p.state.Size != p.offset {
		bad := &MismatchError{Want: p.digest, Got: got, WantSize: p.state.Size, GotSize: p.offset}
		aside := filepath.Join(p.dir.quarantine, p.digest.String()+".part")
		return 0, errors.Join(bad,
			p.dir.disk.Publish(p.dir.partPath(p.digest), aside),
			p.dir.disk.Remove(p.dir.statePath(p.digest)),
			p.release(),
			p.dir.tidy())
	}
	if err := p.readBack(); err != nil {
		return 0, fmt.Errorf("finish blob %s: %w", p.digest, err)
	}
	if err := p.publish(); err != nil {
		return 0, fmt.Errorf("finish blob %s: %w", p.digest, err)
	}
	return p.offset, p.closeFile()
}

// Settle says that the finished blob is recorded: its state file goes, and the
// digest is no longer this writer's.
func (p *Partial) Settle() error {
	return p.end(func() error { return p.dir.disk.Remove(p.dir.statePath(p.digest)) })
}

// Withdraw takes the finished blob back, durably, since it will not be recorded,
// and ends like Settle. The owner sees to it that nothing names the blob.
func (p *Partial) Withdraw() error {
	return p.end(func() error { return p.dir.withdraw(p.digest) })
}

// end does the last step of a finished blob and then gives the digest free: whoever
// comes next finds it done.
func (p *Partial) end(last func() error) error {
	if !p.claimed {
		return fmt.Errorf("end blob %s: %w", p.digest, fs.ErrClosed)
	}
	if err := last(); err != nil {
		return errors.Join(err, p.closeFile())
	}
	return p.release()
}

func (p *Partial) publish() error {
	d, final := p.dir, p.dir.path(p.digest)
	if err := p.file.Chmod(0o444); err != nil {
		return err
	}
	// The state must be there for as long as the blob has its name and is not
	// recorded. A first one is not synced itself: where a cut tears it, the file had
	// not even one checkpoint, and is fetched again (see Brief).
	dirs, err := d.folder(p.digest)
	if err != nil {
		return err
	}
	bytes, names := d.disk.SyncWith(p.file, append(dirs, d.partials)...)
	if err := errors.Join(p.synced(bytes), names); err != nil {
		return err
	}
	d.lasts(p.digest)
	// From here on the file may be the blob, which nothing may change any more.
	p.failed = fs.ErrClosed
	if err := d.disk.Publish(d.partPath(p.digest), final); err != nil {
		p.failed = fmt.Errorf("give it its name: %w", err)
		return p.failed
	}
	return nil
}

// Close keeps what has arrived for the next Begin and makes it durable. After
// Finish it only gives the digest free.
func (p *Partial) Close() error {
	var err error
	if p.file != nil && p.failed == nil {
		err = p.Sync()
	}
	return errors.Join(err, p.release())
}

// Discard closes the partial and removes it.
func (p *Partial) Discard() error {
	if p.file == nil {
		return p.release()
	}
	return errors.Join(
		p.dir.disk.Remove(p.dir.partPath(p.digest)),
		p.dir.disk.Remove(p.dir.statePath(p.digest)),
		p.release())
}

// release gives up the claim and closes the file.
func (p *Partial) release() error {
	if p.claimed {
		p.claimed = false
		p.dir.mu.Lock()
		delete(p.dir.open, p.digest)
		p.dir.mu.Unlock()
	}
	return p.closeFile()
}

func (p *Partial) closeFile() error {
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}
