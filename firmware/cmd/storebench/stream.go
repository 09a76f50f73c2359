package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"cheeseboard/storage/population"
	"cheeseboard/storage/pypi"
)

// Pages go from one process to the other as an upstream would give them: the
// name, the ETag and the page as JSON, each after its length.

type pageWriter struct{ *bufio.Writer }

func (w pageWriter) part(b []byte) error {
	_, err := w.Write(binary.AppendUvarint(nil, uint64(len(b))))
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

func (w pageWriter) page(p *population.Population, i, more int) error {
	page := p.Project(i, more)
	err := w.part([]byte(page.Name))
	return errors.Join(err, w.part([]byte(p.ETag(i, more))), w.part(pypi.AppendProjectJSON(nil, page, nil)))
}

type pageReader struct {
	*bufio.Reader
	buffer []byte
}

const largestPage = 256 << 20

func (r *pageReader) part() ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > largestPage {
		return nil, fmt.Errorf("read a page: %d bytes", n)
	}
	if uint64(cap(r.buffer)) < n {
		r.buffer = make([]byte, n)
	}
	_, err = io.ReadFull(r, r.buffer[:n])
	return r.buffer[:n], err
}

// next gives a page and its ETag; io.EOF behind the last.
func (r *pageReader) next() (*pypi.Project, string, error) {
	raw, err := r.part()
	if err != nil {
		return nil, "", err
	}
	name := pypi.Name(raw)
	if raw, err = r.part(); err != nil {
		return nil, "", noEnd(err)
	}
	etag := string(raw)
	if raw, err = r.part(); err != nil {
		return nil, "", noEnd(err)
	}
	page, refused, err := pypi.DecodeProjectJSON(raw, name, nil)
	if err == nil && len(refused) > 0 {
		err = fmt.Errorf("%s: %s", refused[0].Filename, refused[0].Reason)
	}
	if cap(r.buffer) > 1<<20 {
		r.buffer = nil // the largest page's must not stay
	}
	return page, etag, err
}

func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// noteOf is what the syncer notes with a page that it has just read, in the form
// of syncer/note_form.go. Were it another, no page would be served below.
func noteOf(upstream, etag string) []byte {
	sum := sha256.Sum256([]byte(upstream))
	note := append([]byte{1}, sum[:4]...)
	note = binary.AppendVarint(note, time.Now().UnixMicro())
	tag, _ := base64.RawStdEncoding.DecodeString(strings.Trim(etag, `"`)) // the population's are sound
	note = append(append(note, 1), tag...)
	return append(note, 0)
}
