package disk

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Condition says what became of the partition for data at this start.
type Condition string

// The values of a Condition, as firmware/machine names them.
const (
	Clean    Condition = "clean"
	Repaired Condition = "repaired" // it was damaged, and is whole again
	Aside    Condition = "aside"    // it could not be repaired: a new file system is in its place
	// ReadOnly: it cannot be written, as of a card at its end, and what is on it can be read.
	ReadOnly Condition = "read-only"
	Memory   Condition = "memory" // it cannot be used: what is stored is gone with the power
)

// Report is what was found and done.
type Report struct {
	Condition Condition
	Detail    string // for a person; "" where nothing was found
	Size      int64  // bytes of the file system; 0 in memory
	Grown     int64  // of them those that were added at this start
}

// System is what a Volume needs of the machine.
type System interface {
	Mount(device, folder string) error
	// MountReadOnly mounts such that nothing is ever written to the device, neither what
	// stands in the file system's journal.
	MountReadOnly(device, folder string) error
	Unmount(folder string) error
	// Grow has a mounted file system take so many of its blocks.
	Grow(folder string, blocks uint64) error
	// Check repairs the file system that nobody has mounted. It tells what it found, and
	// gives an error where that is not repaired.
	Check(ctx context.Context, device string) (found string, err error)
	// Memory mounts a file system in memory.
	Memory(folder string) error
	// Damage tells whether an error of Mount says that the file system is damaged, and not
	// that the machine cannot mount any.
	Damage(err error) bool
}

// Volume is the partition for data.
type Volume struct {
	Device string // path of the partition
	Folder string // where it is mounted
	System System
	// Seed opens the image of an empty file system that can be grown; nil: there is none,
	// and what cannot be repaired is left alone.
	Seed func() (io.ReadCloser, error)
	// Worth is the path below the Folder of a file that makes the partition worth being
	// mounted read-only, where it cannot be mounted otherwise; "": it is in any case.
	Worth string
	Log   *slog.Logger

	aside []byte // the beginning of what was set aside, under gzip; nil: nothing was, or it is lost
}

// making stands at the beginning of the partition, in bytes that ext4 leaves to boot
// loaders, while a new file system is being written.
var making = []byte("cheeseboard: a new file system is being made here\x00")

// asideFolder is where the beginning of what was set aside is kept.
const asideFolder = "set-aside"

// Open mounts the partition, repaired or made anew where it must be, and grown where there
// is room. Where it cannot be mounted so, it is mounted read-only, and then nothing is done
// to it. Something is mounted at the Folder when it returns, at the worst memory, unless
// there is an error.
func (v *Volume) Open(ctx context.Context) (Report, error) {
	r, err := v.open(ctx)
	if err == nil {
		v.grow(&r)
		v.keepAside(&r) // a new file system has no room for it before
		return r, nil
	}
	size, bad := v.lastResort()
	if bad == nil {
		v.Log.Error("the partition for data is mounted read-only: what is there is served, and nothing is kept", "reason", err)
		return Report{Condition: ReadOnly, Detail: fmt.Sprintf("%s (%v)", advice(err), err), Size: size}, nil
	}
	v.Log.Error("the partition for data cannot be used: what is stored is gone with the power", "reason", err, "read-only", bad)
	r = Report{Condition: Memory, Detail: err.Error()}
	if err := v.System.Memory(v.Folder); err != nil {
		return r, fmt.Errorf("mount memory at %s: %w", v.Folder, err)
	}
	return r, nil
}

// advice says what a person can do about a partition that can only be read: a check that
// came to no end, for want of memory or time, says nothing against the card.
func advice(err error) string {
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EIO) {
		return "the card cannot be written any more: what is here is served; replace it"
	}
	return "the file system could not be brought into order: what is here is served; start the box anew, and replace the card if it stays so"
}

// open brings the partition to where it is mounted.
func (v *Volume) open(ctx context.Context) (Report, error) {
	super, half, err := v.look()
	switch {
	case half:
		return v.anew("a new file system was being made when the power went")
	case errors.Is(err, ErrNoFileSystem):
		return v.repair(ctx, err)
	case err != nil:
		return Report{}, err // the card cannot be read: nothing is to be written to it
	case super.Flawed:
		return v.repair(ctx, fmt.Errorf("the kernel noted %d errors in it", super.Errors))
	}
	err = v.mount()
	if err == nil {
		return Report{Condition: Clean}, nil
	}
	if !v.System.Damage(err) {
		return Report{}, err
	}
	return v.repair(ctx, err)
}

// look reads what the partition says of itself; half: a new file system was not finished.
func (v *Volume) look() (s Super, half bool, err error) {
	f, err := os.Open(v.Device)
	if err != nil {
		return s, false, fmt.Errorf("open the partition for data: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	mark := make([]byte, len(making))
	if _, err := f.ReadAt(mark, 0); err != nil {
		return s, false, fmt.Errorf("read the partition for data: %w", err)
	}
	if bytes.Equal(mark, making) {
		return s, true, nil
	}
	s, err = ReadSuper(f)
	return s, false, err
}

// mount mounts the file system and reads its root: what is damaged shows there at the
// latest.
func (v *Volume) mount() error {
	before := v.blocks()
	if err := v.System.Mount(v.Device, v.Folder); err != nil {
		return fmt.Errorf("mount the partition for data: %w", err)
	}
	// A journal that was replayed may have brought another size, if the power went while the
	// file system grew; the kernel goes by the one that it had read before, and takes what
	// does not fit for damage.
	if after := v.blocks(); after != before {
		v.Log.Info("the file system for data is mounted once more: its journal has changed its size", "from", before, "to", after)
		if err := errors.Join(v.System.Unmount(v.Folder), v.System.Mount(v.Device, v.Folder)); err != nil {
			return fmt.Errorf("mount the partition for data again: %w", err)
		}
	}
	err := walk(v.Folder, 2)
	if err != nil {
		return errors.Join(fmt.Errorf("read the partition for data: %w", err), v.System.Unmount(v.Folder))
	}
	return nil
}

// blocks is how many the superblock says that there are; 0 where it does not.
func (v *Volume) blocks() uint64 {
	f, err := os.Open(v.Device)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }() // it was only read
	s, err := ReadSuper(f)
	if err != nil {
		return 0
	}
	return s.Blocks
}

// walk lists a folder and those in it, so deep.
func walk(folder string, deep int) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := e.Info(); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if e.IsDir() && deep > 1 {
			if err := walk(filepath.Join(folder, e.Name()), deep-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// repair has a damaged file system repaired, or puts a new one in its place.
func (v *Volume) repair(ctx context.Context, damage error) (Report, error) {
	v.Log.Warn("the file system for data is damaged, and is checked", "reason", damage)
	began := time.Now()
	found, err := v.System.Check(ctx, v.Device)
	if err == nil {
		err = v.mount()
	}
	if err == nil {
		detail := fmt.Sprintf("%v; it was checked and repaired in %s", damage, time.Since(began).Round(time.Second))
		v.Log.Warn("the file system for data is repaired", "found", found)
		return Report{Condition: Repaired, Detail: detail}, nil
	}
	// What the checker calls sound, or could not look at, is not begun anew, though it
	// cannot be used now: that may be the card's connection, or a lack of memory.
	if ctx.Err() != nil || !errors.Is(err, ErrBeyondRepair) && !(errors.Is(err, ErrUnchecked) && v.unknown()) {
		return Report{}, fmt.Errorf("%w; %w", damage, err)
	}
	v.Log.Error("the file system for data cannot be repaired", "found", found, "reason", err)
	if v.aside, err = v.head(); err != nil {
		return Report{}, fmt.Errorf("%w; %w", damage, err)
	}
	return v.anew(fmt.Sprintf("%v, and it could not be repaired", damage))
}

// What a checker comes to that has not repaired a file system.
var (
	ErrBeyondRepair = errors.New("the file system is beyond repair")
	// ErrUnchecked: the checker could not do its work. It may have found no file system,
	// but also no memory, or a card that does not answer.
	ErrUnchecked = errors.New("the file system could not be checked")
)

// unknown tells that the partition can be read, and no file system is on it.
func (v *Volume) unknown() bool {
	_, _, err := v.look()
	return errors.Is(err, ErrNoFileSystem)
}

// mostHead is how much of a file system that is set aside is kept, in bytes: all that the
// seed goes over lies in it.
const mostHead = 64 << 20

// head reads the beginning of the partition, which says where all the rest lies, and
// which a new file system goes over. It is compressed. An error of reading is one of the
// card: then nothing is to be written.
func (v *Volume) head() ([]byte, error) {
	f, err := os.Open(v.Device)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err = io.Copy(z, io.LimitReader(f, mostHead)); err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("read what is to be set aside: %w", err)
	}
	return b.Bytes(), nil
}

// anew puts a new file system in place of one that is set aside.
func (v *Volume) anew(why string) (Report, error) {
	if v.Seed == nil {
		return Report{}, fmt.Errorf("%s; there is no image of a new one", why)
	}
	if err := v.write(); err != nil {
		return Report{}, fmt.Errorf("%s; a new file system could not be made: %w", why, err)
	}
	if err := v.mount(); err != nil {
		return Report{}, fmt.Errorf("%s; a new file system was made: %w", why, err)
	}
	v.Log.Error("a new file system is in place of the old one", "reason", why)
	return Report{Condition: Aside, Detail: why + ": it was begun anew"}, nil
}

// keepAside keeps the beginning of what was set aside, where anything was.
func (v *Volume) keepAside(r *Report) {
	if v.aside == nil {
		return
	}
	err := v.keep(filepath.Join(v.Folder, asideFolder, "head.gz"), v.aside)
	v.aside = nil
	if err != nil {
		v.Log.Warn("the beginning of what was set aside could not be kept", "reason", err)
		return
	}
	r.Detail += ", and its first 64 MiB are kept in the folder " + asideFolder
}

func (v *Volume) keep(path string, head []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(head)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path)) // a part of it is of no use, and takes room
	}
	return err
}

// write puts the seed on the partition. First a mark goes to its beginning, last what
// belongs there: what a cut leaves behind is known by the mark, and is written again.
func (v *Volume) write() (err error) {
	seed, err := v.Seed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seed.Close()) }()
	f, err := os.OpenFile(v.Device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	first := make([]byte, SectorSize*8)
	mark := make([]byte, len(first))
	copy(mark, making)
	if _, err := f.WriteAt(mark, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := io.ReadFull(seed, first); err != nil {
		return fmt.Errorf("read the image of a new file system: %w", err)
	}
	if _, err := f.Seek(int64(len(first)), io.SeekStart); err != nil {
		return err
	}
	// In large pieces: cards like that.
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{seed}, make([]byte, 1<<20)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := f.WriteAt(first, 0); err != nil { // from here on it is there
		return err
	}
	return f.Sync()
}

// grow has the file system take all of the partition. What fails leaves it as it is.
func (v *Volume) grow(r *Report) {
	f, err := os.Open(v.Device)
	if err != nil {
		v.Log.Warn("the size of the partition for data is not known", "reason", err)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		v.Log.Warn("the size of the partition for data is not known", "reason", err)
		return
	}
	s, err := ReadSuper(f)
	if err != nil {
		v.Log.Warn("the size of the file system for data is not known", "reason", err)
		return
	}
	r.Size = int64(s.Blocks) * s.BlockSize
	blocks := uint64(size / s.BlockSize)
	if blocks <= s.Blocks {
		return
	}
	began := time.Now()
	if err := v.System.Grow(v.Folder, blocks); err != nil {
		v.Log.Warn("the file system for data could not be grown", "reason", err)
		return
	}
	r.Grown = int64(blocks)*s.BlockSize - r.Size
	r.Size += r.Grown
	v.Log.Info("the file system for data has grown", "to", r.Size, "took", time.Since(began).Round(time.Millisecond))
}
