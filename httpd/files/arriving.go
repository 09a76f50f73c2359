package files

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// noRanges advises a client that looks before it loads against asking for parts (RFC
// 9110, 14.3) of a file that still arrives: the end, where an installer looks for the
// directory of a wheel, would be silent until all the rest has come, and the client
// would give up before. So it takes the whole, as it comes. Who goes on with a part
// does not look first, and gets it.
type noRanges struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter; http.ServeContent has set the field.
func (w noRanges) WriteHeader(status int) {
	if status == http.StatusOK {
		w.Header().Set("Accept-Ranges", "none")
	}
	w.ResponseWriter.WriteHeader(status)
}

// partPatience is how long a client waits for the first byte of a part of a file that
// still arrives. pip gives up after 15 s of silence.
const partPatience = 10 * time.Second

// begin gives the first byte that a request for a part wants; 0 where it wants the
// whole, or several parts, or gets the whole.
func begin(r *http.Request, content *Content) int64 {
	spec, is := strings.CutPrefix(strings.ToLower(r.Header.Get("Range")), "bytes=")
	own := `"` + content.Digest.String() + `"`
	if condition := r.Header.Get("If-Range"); !is || r.Method != http.MethodGet || r.Header.Get("If-None-Match") != "" || condition != "" && condition != own {
		return 0
	}
	from, to, _ := strings.Cut(spec, "-")
	if n, err := strconv.ParseInt(strings.TrimSpace(from), 10, 64); err == nil && n < content.Size {
		return max(n, 0)
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(to), 10, 64); err == nil && from == "" && n > 0 {
		return max(content.Size-n, 0)
	}
	return 0 // net/http says what is wrong with it
}

// await waits until a byte is there, for a while: as long as nothing was sent, the
// client can be told to come back.
func (a *arriving) await(from int64, giveUp func()) bool {
	timer := time.AfterFunc(partPatience, giveUp)
	defer timer.Stop()
	if _, err := a.Seek(from, io.SeekStart); err != nil {
		return false
	}
	n, err := a.Read(make([]byte, 1))
	// Where the time was over at the last moment, what follows cannot be read.
	return n == 1 && err == nil && timer.Stop()
}

// arriving stands before a reader whose bytes may fail to come. It remembers
// the failure, which http.ServeContent swallows, and it holds the last bytes
// back until the reader has said that they are the end: a reader that finds out
// at the very end that the digest is wrong still stops the answer from being
// complete.
type arriving struct {
	reader io.ReadSeeker
	size   int64
	at     int64
	err    error // the first failure; sticky
}

// Read implements io.Reader. Bytes that come together with a failure are dropped.
func (a *arriving) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := a.reader.Read(p)
	if err != nil && err != io.EOF {
		return 0, a.fail(err)
	}
	a.at += int64(n)
	switch {
	case a.at > a.size:
		return 0, a.fail(errors.New("more bytes came than the file has"))
	case a.at == a.size && n > 0 && err == nil:
		if err := a.confirmEnd(); err != nil {
			return 0, a.fail(err)
		}
	case a.at < a.size && err == io.EOF:
		return 0, a.fail(io.ErrUnexpectedEOF)
	}
	return n, err
}

// confirmEnd reads on until the reader says that there is no more.
func (a *arriving) confirmEnd() error {
	var one [1]byte
	for range 100 {
		n, err := a.reader.Read(one[:])
		switch {
		case n > 0:
			return errors.New("more bytes came than the file has")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// Seek implements io.Seeker.
func (a *arriving) Seek(offset int64, whence int) (int64, error) {
	at, err := a.reader.Seek(offset, whence)
	if err != nil {
		return at, a.fail(err)
	}
	a.at = at
	return at, nil
}

func (a *arriving) fail(err error) error {
	if a.err == nil {
		a.err = err
	}
	return err
}
