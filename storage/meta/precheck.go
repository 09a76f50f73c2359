package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"cheeseboard/storage/durable"
)

// precheck looks over a folder before Badger does, for what Badger answers with
// a panic in a goroutine of its own, with an error that helps nobody, or by
// deleting every table. It changes nothing but the empty files that a kill can
// leave behind. It gives the bytes that the tables have.
func precheck(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("open metadata: %w", err)
	}
	tables := 0
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".mem", ".vlog":
			if info, err := e.Info(); err == nil && info.Size() == 0 {
				if err := (&durable.Disk{}).Remove(filepath.Join(dir, e.Name())); err != nil {
					return 0, err
				}
			}
		case ".sst":
			tables++
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
		}
	}
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		if tables > 0 {
			return 0, damaged(dir, fmt.Errorf("%d tables, but the list of them (%s) is missing", tables, badger.ManifestFilename))
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open metadata: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	manifest, whole, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir))
	if err != nil {
		return 0, damaged(dir, err)
	}
	// Badger takes a list that breaks off for one that ends there, and every
	// table that it does not name for garbage. Where it breaks off before its
	// first entry, that is not what a cut leaves: the list is begun with one.
	if info, err := f.Stat(); err != nil || whole < firstEntry && info.Size() > whole && tables > 0 {
		return 0, damaged(dir, errors.Join(err, fmt.Errorf("%d tables, but the list of them (%s) breaks off at its beginning", tables, badger.ManifestFilename)))
	}
	for id := range manifest.Tables {
		if err := checkTable(table.NewFilename(id, dir)); err != nil {
			return 0, damaged(dir, err)
		}
	}
	return size, nil
}

// firstEntry is where the first entry of a table list ends: 8 bytes of header,
// and an entry of 8 bytes at least.
const firstEntry = 16

func damaged(dir string, cause error) error {
	return fmt.Errorf("open metadata in %s: %w: %w. Nothing was changed. Move this folder aside and start again: the pages come back from the upstream, and files that are here are taken over without fetching them", dir, ErrDamaged, cause)
}

// checkTable reads a table's footer as Badger will, and its index, and compares
// the checksum. The blocks are checked when they are read.
func checkTable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	bad := func(err error) error {
		return fmt.Errorf("table %s of %d bytes: %w", filepath.Base(path), info.Size(), err)
	}
	end := info.Size()
	before := func(n int64) ([]byte, error) {
		if n < 0 || n > end {
			return nil, io.ErrUnexpectedEOF
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
		return bad(err)
	}
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return bad(err)
	}
	index, err := sized()
	if err != nil {
		return bad(err)
	}
	// A footer of zeros has the right checksum for an index of no bytes.
	if len(index) == 0 {
		return bad(errors.New("its index is empty"))
	}
	// The algorithm is checked here since Badger panics over one it does not know.
	if want.Algo != pb.Checksum_CRC32C && want.Algo != pb.Checksum_XXHash64 {
		return bad(fmt.Errorf("unknown checksum algorithm %d", want.Algo))
	}
	if err := y.VerifyChecksum(index, &want); err != nil {
		return bad(err)
	}
	return nil
}
