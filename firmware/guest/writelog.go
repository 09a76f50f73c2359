package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// WriteLog is what a machine has written to its card, in order, as qemu's driver
// blklogwrites keeps it (the format of dm-log-writes): from it the card can be made as
// a loss of power at any moment would have left it.
type WriteLog struct {
	path    string
	sector  int64
	entries []logEntry
	flushes []int // the entries after which all before is on the card
}

type logEntry struct {
	at, length int64 // in bytes
	flags      uint64
	data       int64 // where it lies in the log
}

// The numbers of the format (Documentation/admin-guide/device-mapper/log-writes.rst).
const (
	logMagic   = 0x6a736677736872
	flagFlush  = 1
	flagFUA    = 2
	flagGone   = 4 // discarded: there are no bytes
	logHead    = 28
	entryHead  = 32
	mostLogged = 1 << 24
)

// LogDrive gives the arguments of a drive that logs all that is written to the card.
func LogDrive(log string) []string {
	return []string{
		"-blockdev", "driver=file,node-name=file,filename={card}", "-blockdev", "driver=raw,node-name=raw,file=file",
		"-blockdev", "driver=file,node-name=logfile,filename=" + log, "-blockdev", "driver=raw,node-name=log,file=logfile",
		"-blockdev", "driver=blklogwrites,node-name=card,file=raw,log=log,log-sector-size=512", "-device", "virtio-blk-pci,drive=card",
	}
}

// ReadWriteLog reads the log of a machine that has ended.
func ReadWriteLog(path string) (*WriteLog, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var head [logHead]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return nil, fmt.Errorf("read the log of writes: %w", err)
	}
	le := binary.LittleEndian
	count := le.Uint64(head[16:])
	l := &WriteLog{path: path, sector: int64(le.Uint32(head[24:]))}
	if le.Uint64(head[:]) != logMagic || l.sector < 512 || l.sector > 1<<16 || count > mostLogged {
		return nil, errors.New("read the log of writes: it is none")
	}
	at := l.sector
	for i := range int(count) {
		var b [entryHead]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return nil, fmt.Errorf("read entry %d of the log of writes: %w", i, err)
		}
		at += l.sector
		e := logEntry{int64(le.Uint64(b[:])) * l.sector, int64(le.Uint64(b[8:])) * l.sector, le.Uint64(b[16:]), at}
		if e.flags&flagGone == 0 {
			at += e.length
		}
		if e.flags&flagFlush != 0 {
			l.flushes = append(l.flushes, i)
		}
		l.entries = append(l.entries, e)
	}
	return l, nil
}

// Len is how many writes, flushes and discards there are.
func (l *WriteLog) Len() int { return len(l.entries) }

// Before tells how many entries had ended when the log had so many bytes. What somebody
// was told at that moment must be there after a loss of power that comes later.
func (l *WriteLog) Before(size int64) int {
	for i, e := range l.entries {
		end := e.data
		if e.flags&flagGone == 0 {
			end += e.length
		}
		if end > size {
			return i
		}
	}
	return len(l.entries)
}

// Flushes counts the flushes.
func (l *WriteLog) Flushes() int { return len(l.flushes) }

// Replay brings a card, a copy of what it was before, to what a loss of power after so
// many entries may have left: all that was flushed before, and of what came after that
// each write with a chance of one half.
func (l *WriteLog) Replay(card Card, entries int, chance *rand.Rand) error {
	log, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was only read
	out, err := os.OpenFile(string(card), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	flushed := 0
	for _, at := range l.flushes {
		if at < entries {
			flushed = at
		}
	}
	for i, e := range l.entries[:entries] {
		if e.flags&flagGone != 0 || e.length == 0 || i > flushed && e.flags&flagFUA == 0 && chance.IntN(2) == 0 {
			continue
		}
		b := make([]byte, e.length)
		if _, err = log.ReadAt(b, e.data); err == nil {
			_, err = out.WriteAt(b, e.at)
		}
		if err != nil {
			err = fmt.Errorf("replay entry %d of the log of writes: %w", i, err)
			break
		}
	}
	return errors.Join(err, out.Close())
}
