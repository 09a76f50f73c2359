//go:build !linux

package quick

import (
	"io"
	"time"
)

// sendFile writes a head and what lies in a file, and tells how much of the body went
// out. The file's own offset stays, for many read it at a time.
func (c *conn) sendFile(head []byte, f File) (sent int64, err error) {
	file, size := f.File()
	patience := c.s.http.WriteTimeout
	c.extendWrite(time.Now(), patience)
	if _, err := c.Write(head); err != nil {
		return 0, err
	}
	for sent < size && err == nil {
		c.extendWrite(time.Now(), patience)
		var n int64
		n, err = io.Copy(struct{ io.Writer }{c.TCPConn}, io.NewSectionReader(file, sent, min(size-sent, slice)))
		if sent += n; err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return sent, err
}
