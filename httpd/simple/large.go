package simple

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"

	"cheeseboard/httpd/quick"
)

// A page that is too large for the memory of rendered pages lies in a file without
// a name, from which all who ask for it are answered: that of the largest project
// takes megabytes, and thirty laptops ask for it at once.

// maxHeldPage is how much of a page is in memory, in bytes as they are sent, where
// there is room for a file: from about there on it is faster to have the kernel send a
// file than to copy. keptLarge are kept, with so many bytes together.
const (
	maxHeldPage    = 128 << 10
	keptLarge      = 8
	keptLargeBytes = 16 << 20
)

// largeBody is the body of a page in a file. Whoever reads it holds it; it is closed
// with the last.
type largeBody struct {
	file *os.File
	size int64

	mu      sync.Mutex
	holders int
}

// Hold tells whether the body is still there, and keeps it until Release.
func (b *largeBody) Hold() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holders == 0 {
		return false
	}
	b.holders++
	return true
}

// Release gives back what Hold gave. The last one closes the file, and gives the error
// of that.
func (b *largeBody) Release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holders--; b.holders > 0 {
		return nil
	}
	return b.file.Close()
}

// File gives the file, and how much is in it.
func (b *largeBody) File() (*os.File, int64) { return b.file, b.size }

// larges keeps the large bodies that were asked for last.
type larges struct {
	mu     sync.Mutex
	closed bool
	kept   []keptLargeBody // the one that was asked for last is the last
}

type keptLargeBody struct {
	key  cacheKey
	tag  string
	page rendered
}

// get gives a body that is kept, held.
func (l *larges) get(key cacheKey, tag string) (rendered, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range l.kept {
		if k.key == key && k.tag == tag && k.page.large.Hold() {
			l.kept = append(slices.Delete(l.kept, i, i+1), k)
			return k.page, true
		}
	}
	return rendered{}, false
}

// put keeps a body, and takes over that it is held.
func (l *larges) put(key cacheKey, tag string, page rendered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		page.release()
		return
	}
	if i := slices.IndexFunc(l.kept, func(k keptLargeBody) bool { return k.key == key }); i >= 0 {
		l.remove(i)
	}
	l.kept = append(l.kept, keptLargeBody{key, tag, page})
	sum := int64(0)
	for i := len(l.kept) - 1; i >= 0; i-- {
		if sum += l.kept[i].page.large.size; i < len(l.kept)-1 && (len(l.kept)-i > keptLarge || sum > keptLargeBytes) {
			l.remove(i)
		}
	}
}

// remove lets go of a body that is kept. l.mu is held.
func (l *larges) remove(i int) {
	l.kept[i].page.release()
	l.kept = slices.Delete(l.kept, i, i+1)
}

func (l *larges) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, k := range l.kept {
		k.page.release()
	}
	l.kept = nil
}

// overflow holds what is written in memory, and beyond the bound in a file, if one
// can be had.
type overflow struct {
	held    *bytes.Buffer
	scratch func() (*os.File, error) // nil: none can
	file    *os.File
	size    int64
}

// Write implements io.Writer.
func (o *overflow) Write(p []byte) (int, error) {
	if o.file == nil && o.scratch != nil && o.held.Len()+len(p) > maxHeldPage {
		file, err := o.scratch()
		if err != nil {
			o.scratch = nil // no room on the disk: in memory there may be
		} else {
			o.file = file
			if err := o.flush(); err != nil {
				return 0, err
			}
		}
	}
	n, err := o.held.Write(p)
	if err == nil && o.file != nil && o.held.Len() >= maxHeldPage/4 {
		err = o.flush()
	}
	return n, err
}

func (o *overflow) flush() error {
	n, err := o.held.WriteTo(o.file)
	o.size += n
	if err != nil {
		return fmt.Errorf("write a large page: %w", err)
	}
	return nil
}

// body gives what was written; after an error nothing is left of it.
func (o *overflow) body(err error) (rendered, error) {
	if o.file == nil {
		return rendered{body: own(o.held.Bytes())}, err
	}
	if err == nil {
		err = o.flush()
	}
	if err != nil {
		return rendered{}, errors.Join(err, o.file.Close())
	}
	return rendered{large: &largeBody{file: o.file, size: o.size, holders: 1}}, nil
}

// write sends a body.
func (p *rendered) write(h *Handler, w http.ResponseWriter, r *http.Request) {
	if p.large == nil {
		_, _ = w.Write(p.body) // a client that has gone needs no answer
		return
	}
	if _, err := io.Copy(w, io.NewSectionReader(p.large.file, 0, p.large.size)); err != nil {
		if r.Context().Err() == nil {
			h.log.Warn("break off a large page", "path", r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler) // the client must not take what it has for all of it
	}
}

// offer is what is said of a body that is about to be sent.
func (p *rendered) offer(still func() bool) quick.Offer {
	if p.large == nil {
		return quick.Offer{Body: p.body, Still: still}
	}
	return quick.Offer{File: p.large, Still: still}
}

func (p *rendered) length() int64 {
	if p.large != nil {
		return p.large.size
	}
	return int64(len(p.body))
}

// release lets go of a body that was given held.
func (p *rendered) release() {
	if p.large != nil {
		_ = p.large.Release() // it has no name, and everything was read that was wanted
	}
}
