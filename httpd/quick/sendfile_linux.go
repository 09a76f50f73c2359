package quick

import (
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// sendFile writes a head and what lies in a file, and tells how much of the body went
// out. Nothing of the file is taken into this program's memory: the kernel sends the
// pages that it has of it. The file's own offset stays, for many read it at a time.
func (c *conn) sendFile(head []byte, f File) (sent int64, err error) {
	file, size := f.File()
	from := int(file.Fd())
	end := min(size, slice)
	var failed error
	step := func(to uintptr) (over bool) {
		over, failed = transfer(int(to), from, &head, &sent, end)
		return over
	}
	for {
		c.extendWrite(time.Now(), c.s.http.WriteTimeout)
		if err = c.raw.Write(step); err == nil {
			err = failed
		}
		if err != nil || end == size {
			return sent, err
		}
		end = min(size, end+slice)
	}
}

// transfer sends what is left of head, then the file up to end, until that is over or
// the connection takes no more at this moment.
func transfer(to, from int, head *[]byte, sent *int64, end int64) (over bool, err error) {
	for len(*head) > 0 {
		n, err := unix.SendmsgN(to, *head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			*head = (*head)[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return false, nil
		default:
			return true, err
		}
	}
	for *sent < end {
		n, err := unix.Sendfile(to, from, sent, int(end-*sent))
		switch {
		case err == unix.EINTR, err == nil && n > 0:
		case err == unix.EAGAIN:
			return false, nil
		case err != nil:
			return true, err
		default:
			return true, io.ErrUnexpectedEOF // it is shorter than it was
		}
	}
	return true, nil
}
