// Package names finds projects by parts of their names, among as many as PyPI has.
//
// The names stand in a file without a name of its own, which is mapped: the kernel
// takes the memory back when it is short, and a search reads it from end to end.
package names

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cheeseboard/storage/pypi"
)

const (
	// Limit is how many names a search gives at most.
	Limit = 100
	// MaxQuery is the most bytes of a query, and maxTerms the most words.
	MaxQuery = 200
	maxTerms = 5
	// again is how old the list must be before it is made anew because something
	// has changed.
	again = 10 * time.Minute
)

// Source is where the names come from.
type Source struct {
	// Each calls yield with every name until it returns false, in any order; some
	// may come twice.
	Each func(yield func(pypi.Name) bool) error
	// Prefix calls yield with the names that begin so, in order, as they are now.
	Prefix func(prefix string, yield func(pypi.Name) bool) error
	// Version changes when the names do, and perhaps oftener.
	Version func() uint64
	// Scratch makes an empty file without a name.
	Scratch func() (*os.File, error)
}

// Finder searches. It is safe for concurrent use.
type Finder struct {
	source Source
	now    func() time.Time

	mu      sync.Mutex // held while a list is made, and to take one
	list    *list
	version uint64
	made    time.Time
	making  bool
	closed  bool
	work    sync.WaitGroup
}

// New makes a finder. Close ends it.
func New(source Source) *Finder { return &Finder{source: source, now: time.Now} }

// Result is what a search found, the best first: the name itself, names that begin
// with the query, names with a word that does, others; the shorter ones first.
type Result struct {
	Names []pypi.Name
	More  bool // there are more than these
}

// ErrQuery: there is nothing that a name could contain, or too much of it.
var ErrQuery = errors.New("search for letters and digits of a project's name")

var errClosed = errors.New("the search has ended")

// Find searches for names that contain every word of the query, compared as
// project names are (PEP 503); by one letter, those that begin with it. The names
// are at most some minutes old, but for
// those that begin with the query, which are found at once. limit counts up to
// Limit.
func (f *Finder) Find(query string, limit int) (Result, error) {
	terms, err := parse(query)
	if err != nil {
		return Result{}, err
	}
	l, err := f.take()
	if err != nil {
		return Result{}, err
	}
	defer l.release()
	limit = min(max(limit, 1), Limit)
	s := newSearch(terms, limit)
	l.scan(s)
	if len(terms) == 1 {
		err = f.fresh(terms[0], s)
	}
	return s.result(), err
}

// parse gives the words of a query in the form of names, the longest first: it
// is the rarest.
func parse(query string) ([]string, error) {
	if len(query) > MaxQuery {
		return nil, fmt.Errorf("%w: at most %d bytes", ErrQuery, MaxQuery)
	}
	var terms []string
	for _, word := range strings.Fields(query) {
		if term := normal(word); term != "" {
			terms = append(terms, term)
		}
	}
	if len(terms) == 0 || len(terms) > maxTerms {
		return nil, fmt.Errorf("%w, up to %d words", ErrQuery, maxTerms)
	}
	slices.SortStableFunc(terms, func(a, b string) int { return len(b) - len(a) })
	return terms, nil
}

// normal brings a part of a name into the normal form (PEP 503); what no name has
// is left out. A dash at an end stays: "-client" looks for a word.
func normal(word string) string {
	var b strings.Builder
	dash := false
	for _, c := range strings.ToLower(word) {
		switch {
		case c == '-' || c == '_' || c == '.':
			dash = true
			continue
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			continue
		}
		if dash {
			b.WriteByte('-')
			dash = false
		}
		b.WriteRune(c)
	}
	if b.Len() == 0 {
		return ""
	}
	if dash {
		b.WriteByte('-')
	}
	return b.String()
}

// fresh adds names that are younger than the list.
func (f *Finder) fresh(term string, s *search) error {
	if f.source.Prefix == nil {
		return nil
	}
	left := 4 * s.limit
	return f.source.Prefix(term, func(n pypi.Name) bool {
		s.add(string(n))
		left--
		return left > 0
	})
}

// take gives the list to search in, and has it made anew where it is old. The
// first who comes makes it, and others wait.
func (f *Finder) take() (*list, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errClosed
	case f.list == nil:
		if err := f.make(); err != nil {
			return nil, err
		}
	case !f.making && f.source.Version() != f.version && f.now().Sub(f.made) > again:
		f.making = true
		f.work.Go(func() {
			version, made := f.source.Version(), f.now()
			l, err := newList(f.source)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.making = false
			if err != nil {
				f.made = made // the old one serves until the next try
				return
			}
			f.list.release()
			f.list, f.version, f.made = l, version, made
		})
	}
	f.list.hold()
	return f.list, nil
}

func (f *Finder) make() (err error) {
	f.version, f.made = f.source.Version(), f.now()
	f.list, err = newList(f.source)
	return err
}

// Prepare makes the list, so that the first search need not wait for it.
func (f *Finder) Prepare() error {
	l, err := f.take()
	if err != nil {
		return err
	}
	l.release()
	return nil
}

// Close gives the list back. Searches that are under way end well.
func (f *Finder) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.work.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list != nil {
		f.list.release()
		f.list = nil
	}
}

// list is the names, each behind and before a line end.
type list struct {
	text   []byte
	mapped bool // from a file

	mu    sync.Mutex
	holds int
}

// inMemory is what a list may take in memory where there is no room for a file, in
// bytes: PyPI's fits.
const inMemory = 16 << 20

var errTooMany = errors.New("there is no room for so many names")

// newList writes the names down and maps them.
func newList(source Source) (_ *list, err error) {
	file, err := source.Scratch()
	if err != nil {
		return listInMemory(source)
	}
	defer func() { err = errors.Join(err, file.Close()) }() // the map stays
	out := bufio.NewWriterSize(file, 64<<10)
	size, err := write(source, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("make list of names: %w", err)
	}
	text, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map list of names: %w", err)
	}
	return &list{text: text, mapped: true, holds: 1}, nil
}

func listInMemory(source Source) (*list, error) {
	var text bytes.Buffer
	if _, err := write(source, &text); err != nil {
		return nil, fmt.Errorf("make list of names in memory: %w", err)
	}
	return &list{text: text.Bytes(), holds: 1}, nil
}

// write gives the size of what it has written.
func write(source Source, out io.Writer) (size int, err error) {
	line := []byte{'\n'}
	size, err = out.Write(line)
	if err != nil {
		return size, err
	}
	walkErr := source.Each(func(name pypi.Name) bool {
		line = append(append(line[:0], name...), '\n')
		var n int
		n, err = out.Write(line)
		if b, ok := out.(*bytes.Buffer); ok && err == nil && b.Len() > inMemory {
			err = errTooMany
		}
		size += n
		return err == nil
	})
	return size, errors.Join(err, walkErr)
}

func (l *list) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds++
}

func (l *list) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds--; l.holds > 0 {
		return
	}
	if l.mapped {
		_ = unix.Munmap(l.text) // it fails only for what was never mapped
	}
	l.text = nil
}

// scan shows every name that contains the first term to the search; where that is
// one letter, only names that begin with it: nearly all contain it.
func (l *list) scan(s *search) {
	text, term := l.text, s.terms[0].text
	if len(s.terms) == 1 && len(term) == 1 {
		term = append([]byte{'\n'}, term...)
	}
	for at := 0; ; {
		hit := bytes.Index(text[at:], term)
		if hit < 0 {
			return
		}
		if hit += at; term[0] == '\n' {
			hit++
		}
		from := bytes.LastIndexByte(text[:hit], '\n') + 1
		to := hit + bytes.IndexByte(text[hit:], '\n')
		s.see(text[from:to])
		at = to
	}
}
