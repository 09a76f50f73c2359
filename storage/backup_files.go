package storage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cheeseboard/storage/blob"
	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// Behind its entries a whole backup has the private files, which nobody else has. A
// restore lays them into a folder that nobody looks at, and gives them their names
// once the backup has turned out right.

// filesComing is that folder. Its files are named by their digests.
const filesComing = "files.new"

const (
	backupFile    = 1 // begins a file
	backupFileEnd = 0 // follows the last one
)

// privateBlobs gathers which blobs are private, from the entries of a backup as they
// come: in the order of their keys marks of projects come before references.
type privateBlobs struct {
	names   map[string]bool
	digests []pypi.Digest
}

func (p *privateBlobs) see(key []byte) {
	if name, is := strings.CutPrefix(string(key), "o/"); is {
		if p.names == nil {
			p.names = make(map[string]bool)
		}
		p.names[name] = true
		return
	}
	rest, is := strings.CutPrefix(string(key), "r/")
	n := len(rest) - len(pypi.Digest{})
	if is && n > 1 && p.names[rest[:n-1]] {
		p.digests = append(p.digests, pypi.Digest([]byte(rest[n:])))
	}
}

// sorted gives each digest once.
func (p *privateBlobs) sorted() []pypi.Digest {
	slices.SortFunc(p.digests, func(a, b pypi.Digest) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(p.digests)
}

// files writes blobs behind the entries. One that the disk has lost or changed is
// left out, and told: the rest is worth having.
func (b *backupWriter) files(ctx context.Context, s *Store, digests []pypi.Digest) error {
	for _, digest := range digests {
		seen, err := s.hash(digest)
		if err == nil && seen.digest != digest {
			err = fmt.Errorf("the disk has changed it")
		}
		if err != nil {
			s.log.Error("a private file is not in the backup", "sha256", digest.String(), "reason", err)
			continue
		}
		f, err := s.blobs.OpenBlob(digest)
		if errors.Is(err, blob.ErrNotFound) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return err
		}
		err = b.file(ctx, f, digest, seen.size)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return b.write([]byte{backupFileEnd})
}

func (b *backupWriter) file(ctx context.Context, f io.Reader, digest pypi.Digest, size int64) error {
	if err := b.write(binary.AppendUvarint(append([]byte{backupFile}, digest[:]...), uint64(size))); err != nil {
		return err
	}
	buf := make([]byte, backupBlock)
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(f, buf[:min(left, int64(len(buf)))])
		if err != nil {
			return fmt.Errorf("read private file %s: %w", digest, err)
		}
		if err := b.write(buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

// files reads the files of a backup, and hands each to take, which reads it to its
// end; nil: nobody wants them.
func (b *backupReader) files() error {
	for {
		kind, err := summing{b}.ReadByte()
		switch {
		case err != nil:
			return b.broken(err)
		case kind == backupFileEnd:
			return nil
		case kind != backupFile:
			return notABackup("neither a file nor the end of files")
		}
		f := backedUpFile{backup: b, sum: sha256.New()}
		if _, err := io.ReadFull(io.TeeReader(b.in, b.sum), f.digest[:]); err != nil {
			return b.broken(err)
		}
		size, err := binary.ReadUvarint(summing{b})
		if err != nil {
			return b.broken(err)
		}
		if size > uint64(pypi.MaxFileSize) {
			return notABackup("a file of %d bytes", size)
		}
		f.left = int64(size)
		if b.take != nil {
			err = b.take(f.digest, &f)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, &f)
		}
		if err != nil {
			return err
		}
	}
}

// backedUpFile reads one file of a backup. It ends with io.EOF only if the bytes have
// the digest.
type backedUpFile struct {
	backup *backupReader
	digest pypi.Digest
	left   int64
	sum    hash.Hash
}

func (f *backedUpFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		if pypi.Digest(f.sum.Sum(nil)) != f.digest {
			return 0, notABackup("the file %s in it has other bytes", f.digest)
		}
		return 0, io.EOF
	}
	n, err := f.backup.in.Read(p[:min(int64(len(p)), f.left)])
	_, _ = f.backup.sum.Write(p[:n]) // hash.Hash never fails
	_, _ = f.sum.Write(p[:n])        // likewise
	f.left -= int64(n)
	if err != nil {
		err = f.backup.broken(err)
	}
	return n, err
}

// stageFiles has the files of a backup laid into the folder where settleFiles finds
// them; n counts them.
func (b *backupReader) stageFiles(dir string, disk *durable.Disk, n *int) error {
	staged := filepath.Join(dir, filesComing)
	if err := disk.RemoveAll(staged); err != nil {
		return err
	}
	b.take = func(digest pypi.Digest, body io.Reader) error {
		if err := disk.MkdirAll(staged, 0o755); err != nil {
			return err
		}
		*n++
		return disk.WriteStream(filepath.Join(staged, digest.String()), 0o444, func(w io.Writer) error {
			_, err := io.Copy(w, body)
			return err
		})
	}
	return nil
}

// settleFiles gives files that were restored their names, which are those of their
// bytes, so that it can be done again after a cut.
func settleFiles(dir string, disk *durable.Disk) error {
	staged := filepath.Join(dir, filesComing)
	entries, err := os.ReadDir(staged)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		digest, err := pypi.ParseDigest(e.Name())
		if err != nil {
			continue // one that was being written
		}
		folder := filepath.Join(dir, "blobs", digest.String()[:2])
		if err := disk.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := disk.Publish(filepath.Join(staged, e.Name()), filepath.Join(folder, digest.String())); err != nil {
			return fmt.Errorf("put a restored file in its place: %w", err)
		}
	}
	return disk.RemoveAll(staged)
}
