package simple

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"cheeseboard/httpd/patchwork"
	"cheeseboard/httpd/quick"
	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

const (
	// listLife is how long a prepared list is given out after the names have
	// changed. Who follows the box goes by the serials in it.
	listLife = time.Hour
	// listAgain is the age from which it is made anew while it is given out.
	listAgain = 30 * time.Minute
	// pieceOf is how many names a piece of a prepared list has on average, and
	// mostOf how many at most. Where a piece ends is decided by the names, so that
	// one that is added or removed changes one piece.
	pieceOf = 1024
	mostOf  = 4 * pieceOf
)

// lists keeps large root lists under gzip in files, one for each form that was
// asked for. They are made in the background, of the pieces that have changed, and
// only as long as somebody asks.
type lists struct {
	index   Index
	scratch func() (*os.File, error)
	log     *slog.Logger
	ahead   *ahead // has them made anew

	ctx  context.Context // ends with close
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	kept   map[bool]*keptList // by whether it is JSON
	making map[bool]bool
}

// keptList is a list as it was at one time.
type keptList struct {
	*patchwork.Stream
	tag    string
	serial int64
	made   time.Time
}

func newLists(index Index, scratch func() (*os.File, error), log *slog.Logger) *lists {
	l := &lists{index: index, scratch: scratch, log: log, kept: make(map[bool]*keptList), making: make(map[bool]bool)}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

func (l *lists) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for _, k := range l.kept {
		err = errors.Join(err, k.Release())
	}
	clear(l.kept)
	return err
}

// serve answers from a prepared list; false where there is none that may be given
// out.
func (l *lists) serve(w http.ResponseWriter, r *http.Request, v variant, now Names) bool {
	l.mu.Lock()
	k := l.kept[v.form.IsJSON()]
	if k != nil && !k.Hold() {
		k = nil
	}
	l.mu.Unlock()
	if k == nil {
		return false
	}
	defer l.release(k)
	if changed := k.tag != now.Tag || now.Tag == ""; changed {
		age := time.Since(k.made)
		if age > listAgain {
			l.prepare(v.form.IsJSON())
		}
		if age > listLife {
			return false
		}
	}
	etag := v.etag(k.tag)
	if v.coding == gzipped {
		etag = v.etag(k.tag + "-prepared") // the same text, but other bytes
	}
	key := cacheKey{json: v.form.IsJSON(), coding: gzipped}
	l.ahead.note(key, k.tag)
	still := l.ahead.seen(key, l.still(k, v, now))
	if reply.NoneMatch(r, etag) {
		quick.Keep(r.Context(), quick.Offer{Still: still})
		notModified(w, etag)
		return true
	}
	if v.coding == gzipped {
		quick.Keep(r.Context(), quick.Offer{File: k.Stream, Still: still})
	}
	l.send(w, r, v, etag, k)
	return true
}

// still tells how to find out whether a prepared list would be given out again.
func (l *lists) still(k *keptList, v variant, now Names) func() bool {
	same := k.tag == now.Tag && now.Tag != "" && now.Still != nil
	return func() bool {
		l.mu.Lock()
		latest := l.kept[v.form.IsJSON()] == k
		l.mu.Unlock()
		return latest && (time.Since(k.made) <= listAgain || same && now.Still())
	}
}

func (l *lists) release(k *keptList) {
	if err := k.Release(); err != nil {
		l.log.Warn("close a prepared root list", "error", err)
	}
}

func (l *lists) send(w http.ResponseWriter, r *http.Request, v variant, etag string, k *keptList) {
	body, length := k.Gzip(), k.Size()
	if v.coding != gzipped {
		text, err := k.Text()
		if err != nil {
			reply.Text(w, r, http.StatusInternalServerError, "The prepared list cannot be read.")
			l.log.Error("read a prepared root list", "error", err)
			return
		}
		defer func() { _ = text.Close() }() // its checksum is known once it was read to its end
		body, length = text, k.Length()
	}
	entity(w.Header(), v, etag, k.serial)
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := io.Copy(w, body); err != nil {
		if r.Context().Err() == nil {
			l.log.Warn("break off root list", "error", err)
		}
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole list
	}
}

// renew has a list that is kept made anew if it is another by now and has come into its
// years; large is false where none is kept, and again tells that it is to be looked at
// later.
func (l *lists) renew(json bool, tag string) (large, again bool) {
	l.mu.Lock()
	k := l.kept[json]
	l.mu.Unlock()
	switch {
	case k == nil:
		return false, false
	case k.tag == tag:
		return true, false
	case time.Since(k.made) > listAgain:
		l.prepare(json)
	}
	return true, true
}

// prepare makes a list in the background, unless that is under way.
func (l *lists) prepare(json bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.scratch == nil || l.making[json] {
		return
	}
	l.making[json] = true
	l.work.Go(func() {
		begun := time.Now()
		stats, err := l.make(json)
		l.mu.Lock()
		l.making[json] = false
		l.mu.Unlock()
		switch {
		case err != nil && l.ctx.Err() == nil:
			l.log.Warn("a root list could not be prepared; it is made for each request", "error", err)
		case err == nil:
			l.log.Debug("root list prepared", "json", json, "pieces", stats.Pieces, "packed", stats.Packed, "took", time.Since(begun))
		}
	})
}

func (l *lists) make(json bool) (patchwork.Stats, error) {
	form := pypi.FormHTML
	if json {
		form = pypi.FormJSON
	}
	names, err := l.index.Names(l.ctx)
	if err != nil {
		return patchwork.Stats{}, err
	}
	file, err := l.scratch()
	if err != nil {
		return patchwork.Stats{}, err
	}
	l.mu.Lock()
	old := l.kept[json]
	l.mu.Unlock()
	var from *patchwork.Stream
	if old != nil {
		from = old.Stream
	}
	stream, stats, err := patchwork.Sew(file, from, pieces(l.ctx, form, names))
	if err != nil {
		return stats, fmt.Errorf("prepare root list: %w", err)
	}
	l.mu.Lock()
	l.kept[json] = &keptList{Stream: stream, tag: names.Tag, serial: names.LastSerial, made: time.Now()}
	l.mu.Unlock()
	if old != nil {
		l.release(old)
	}
	return stats, nil
}

// pieces cuts a list into pieces: the head, runs of entries, the tail.
func pieces(ctx context.Context, form pypi.Form, names Names) iter.Seq2[patchwork.Piece, error] {
	return func(yield func(patchwork.Piece, error) bool) {
		ends := func(what string, add func([]byte, pypi.Form, int64) []byte) bool {
			key := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", what, form, names.LastSerial))
			return yield(patchwork.Piece{Key: key, Append: func(b []byte) []byte { return add(b, form, names.LastSerial) }}, nil)
		}
		if !ends("head", pypi.AppendListHead) {
			return
		}
		run := make([]pypi.ListEntry, 0, mostOf)
		first := true
		give := func() bool {
			if len(run) == 0 {
				return true
			}
			ok := yield(pieceOfList(form, slices.Values(run), first), nil)
			run, first = run[:0], false
			return ok
		}
		for e, err := range names.Each {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(patchwork.Piece{}, err)
				return
			}
			run = append(run, e)
			if (len(run) == mostOf || endsPiece(e.Name)) && !give() {
				return
			}
		}
		if give() {
			ends("tail", pypi.AppendListTail)
		}
	}
}

func endsPiece(name pypi.Name) bool {
	h := fnv.New32a()
	_, _ = io.WriteString(h, string(name)) // hash.Hash never fails
	return h.Sum32()%pieceOf == 0
}

func pieceOfList(form pypi.Form, run iter.Seq[pypi.ListEntry], first bool) patchwork.Piece {
	h := sha256.New()
	var b []byte
	for e := range run {
		b = append(append(b[:0], e.Name...), 0)
		if form.IsJSON() { // HTML has no serials, and need not change with them
			b = binary.AppendVarint(b, e.Serial)
		}
		_, _ = h.Write(b) // hash.Hash never fails
	}
	_, _ = fmt.Fprintf(h, "%d %t", form, first)
	return patchwork.Piece{
		Key: patchwork.Key(h.Sum(nil)),
		Append: func(b []byte) []byte {
			beginning := first
			for e := range run {
				b = pypi.AppendListEntry(b, form, e, beginning)
				beginning = false
			}
			return b
		},
	}
}
