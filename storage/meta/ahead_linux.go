package meta

import (
	"os"

	"golang.org/x/sys/unix"
)

// What is read of every table when a store is opened: of most the index and the
// last block lie within tableEnd, and the first block within tableBegin.
const (
	tableBegin = 20 << 10
	tableEnd   = 64 << 10
)

// readAhead has the kernel read the beginnings and ends of tables, all at once:
// one after the other, hundreds of them would each wait for the disk. It is advice,
// and what fails of it is met again by whoever reads.
func readAhead(paths []string) {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil {
			end := max(info.Size()-tableEnd, 0)
			_ = unix.Fadvise(int(f.Fd()), end, tableEnd, unix.FADV_WILLNEED)
			_ = unix.Fadvise(int(f.Fd()), 0, min(tableBegin, end), unix.FADV_WILLNEED)
		}
		_ = f.Close() // only read
	}
}
