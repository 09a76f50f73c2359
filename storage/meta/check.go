package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"cheeseboard/storage/durable"
)

// Badger sees a block's damage when it reads the block, and then says that what
// is in it is not there; merging tables it loses the rest of the table too, or
// ends the process. So the tables are checked here: their ends, and the blocks
// of a small store, before Badger opens them, the blocks of a large one later.

// atOnce is the most bytes of tables that Open reads to their end: on a slow card
// that takes a fifth of a second.
const atOnce = 4 << 20

// CheckTables reads every table to its end and compares the checksums. pace, where
// it is not nil, is called with the bytes before each piece is read, and its error
// ends the check. ErrDamaged.
func (d *DB) CheckTables(ctx context.Context, pace func(bytes int) error) error {
	if pace == nil {
		pace = func(int) error { return nil }
	}
	for _, t := range d.db.Tables() {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := checkTable(table.NewFilename(t.ID, d.dir), pace)
		if err != nil && !d.lists(t.ID) {
			continue // merged with others since it was listed: Badger empties it, then removes it
		}
		var wrong flaw
		switch {
		case errors.As(err, &wrong), errors.Is(err, syscall.EIO):
			return fmt.Errorf("check metadata in %s: %w: %w", d.dir, ErrDamaged, err)
		case err != nil:
			return fmt.Errorf("check metadata in %s: %w", d.dir, err)
		}
	}
	return nil
}

// lists tells whether a table is still one of the store's.
func (d *DB) lists(id uint64) bool {
	return slices.ContainsFunc(d.db.Tables(), func(t badger.TableInfo) bool { return t.ID == id })
}

// checkTable reads a table's footer as Badger will, and its index, and compares
// the checksum; with pace, the blocks too. A flaw for what Badger would not bear,
// and errors of the file system and of pace.
func checkTable(path string, pace func(bytes int) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	index, start, err := readIndex(f, info.Size())
	if err == nil && pace != nil {
		err = checkBlocks(f, index, start, pace)
	}
	if err != nil {
		return fmt.Errorf("table %s of %d bytes: %w", filepath.Base(path), info.Size(), err)
	}
	return nil
}

// flaw says that bytes are not those of a table.
type flaw struct{ error }

func (f flaw) Unwrap() error { return f.error }

func unlike(format string, a ...any) error { return flaw{fmt.Errorf(format, a...)} }

// readIndex reads the index of a table from its end, and tells where it begins.
func readIndex(f io.ReaderAt, end int64) (index []byte, start int64, err error) {
	before := func(n int64) ([]byte, error) {
		if n < 0 || n > end {
			return nil, unlike("its end is not that of a table")
		}
		end -= n
		b := make([]byte, n)
		_, err := f.ReadAt(b, end)
		return b, err
	}
	sized := func() ([]byte, error) {
		b, err := before(4)
		if err != nil {
			return nil, err
		}
		return before(int64(binary.BigEndian.Uint32(b)))
	}
	sum, err := sized()
	if err != nil {
		return nil, 0, err
	}
	index, err = sized()
	if err != nil {
		return nil, 0, err
	}
	// A footer of zeros has the right checksum for an index of no bytes.
	if len(index) == 0 {
		return nil, 0, unlike("its index is empty")
	}
	return index, end, matches(index, sum)
}

// matches compares bytes with a checksum as Badger writes it.
func matches(data, sum []byte) error {
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return unlike("a checksum cannot be read: %w", err)
	}
	// The algorithm is checked here since Badger panics over one it does not know.
	if want.Algo != pb.Checksum_CRC32C && want.Algo != pb.Checksum_XXHash64 {
		return unlike("unknown checksum algorithm %d", want.Algo)
	}
	if err := y.VerifyChecksum(data, &want); err != nil {
		return unlike("%w", err)
	}
	return nil
}

// checkBlocks reads the blocks that an index names, of which the checksum is
// known to be right. A block ends with its checksum and that one's length.
func checkBlocks(f io.ReaderAt, index []byte, end int64, pace func(bytes int) error) error {
	blocks := fb.GetRootAsTableIndex(index, 0)
	var block fb.BlockOffset
	var buffer []byte
	for i := range blocks.OffsetsLength() {
		if !blocks.Offsets(&block, i) {
			return unlike("its index breaks off at block %d", i)
		}
		from, n := int64(block.Offset()), int64(block.Len())
		if n < 4 || from+n > end {
			return unlike("block %d does not lie inside it", i)
		}
		if err := pace(int(n)); err != nil {
			return err
		}
		if int64(cap(buffer)) < n {
			buffer = make([]byte, n)
		}
		raw := buffer[:n]
		if _, err := f.ReadAt(raw, from); err != nil {
			return err
		}
		raw, length := raw[:n-4], int64(binary.BigEndian.Uint32(raw[n-4:]))
		if length > n-4 {
			return unlike("block %d: the length of its checksum is wrong", i)
		}
		if err := matches(raw[:n-4-length], raw[n-4-length:]); err != nil {
			return fmt.Errorf("block %d at byte %d: %w", i, from, err)
		}
	}
	return nil
}

// spares are Badger's files that hold nothing of ours: keys, of which there are
// none, and what is to be thrown away of the values' log, which stays empty.
var spares = []string{"KEYREGISTRY", "DISCARD", "*.vlog"}

// openSparing opens Badger; where that fails it does so once more without the
// spares, which Badger then makes anew.
func openSparing(o badger.Options) (*badger.DB, error) {
	db, err := openGuarded(o)
	if !errors.Is(err, ErrDamaged) {
		return db, err
	}
	removed := 0
	for _, pattern := range spares {
		paths, globErr := filepath.Glob(filepath.Join(o.Dir, pattern))
		if globErr != nil {
			return nil, errors.Join(err, globErr)
		}
		for _, path := range paths {
			if rmErr := (&durable.Disk{}).Remove(path); rmErr != nil {
				return nil, errors.Join(err, rmErr)
			}
			removed++
		}
	}
	if removed == 0 {
		return nil, err
	}
	o.Logger.Warningf("opening the metadata failed; trying again without files that hold nothing: %v", err)
	return openGuarded(o)
}

// CheckTable reads the table at path to its end and compares the checksums.
// ErrDamaged, and errors of the file system.
func CheckTable(path string) error {
	err := checkTable(path, func(int) error { return nil })
	var wrong flaw
	if errors.As(err, &wrong) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
