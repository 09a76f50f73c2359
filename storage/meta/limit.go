package meta

import (
	"fmt"
	"strconv"
)

// mostTables is how many bytes of tables a 32-bit program holds. All tables are
// mapped into memory, while they are merged for a while twice, and of the 2 or 3 GB
// of addresses that such a program has, the rest needs its share: a store of
// 1.05 GB was seen to take 1.8 GB of them.
const mostTables = 1200 << 20

// LimitError says that the metadata are as large as a 32-bit program can have
// them. It is an ErrFull: what is here is served, and what makes room goes on.
type LimitError struct {
	Dir           string
	Tables, Limit int64 // bytes
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the metadata in %s have %d MB, and a 32-bit program can hold %d MB of them: "+
		"choose fewer projects, or run the 64-bit program on this board if it can", e.Dir, e.Tables>>20, e.Limit>>20)
}

// Is makes a LimitError an ErrFull.
func (e *LimitError) Is(target error) bool { return target == ErrFull }

// limitOf is the limit of tables for this program; 0 for none.
func limitOf(o Options) int64 {
	if o.Limit != 0 {
		return o.Limit
	}
	if strconv.IntSize == 32 {
		return mostTables
	}
	return 0
}

// checkLimit refuses tables beyond the limit and some more bytes.
func (d *DB) checkLimit(more int64) error {
	if tables := d.tables.Load(); d.limit > 0 && tables > d.limit+more {
		return &LimitError{d.dir, tables, d.limit}
	}
	return nil
}

// Tables tells how many bytes of tables there are, and how many this program can
// hold: 0 for no limit.
func (d *DB) Tables() (bytes, limit int64) { return d.tables.Load(), d.limit }
