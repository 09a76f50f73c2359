package syncer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/fetch"
	"cheeseboard/syncer/mirror"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// outside is the hosts that an engine can reach, in memory.
type outside struct {
	mu    sync.Mutex
	hosts map[string]http.HandlerFunc // by name and port; nil: it refuses, after a while
	after time.Duration               // that while
	over  chan struct{}               // closed at the end
}

func (o *outside) becomes(host string, h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts[host] = h
}

// dial connects to a host, each connection a server of its own.
func (o *outside) dial(ctx context.Context, _, address string) (net.Conn, error) {
	o.mu.Lock()
	handler, after := o.hosts[address], o.after
	o.mu.Unlock()
	if handler == nil {
		select {
		case <-time.After(after):
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	near, far := net.Pipe()
	one := &single{conn: make(chan net.Conn, 1), over: o.over}
	one.conn <- far
	go func() { _ = (&http.Server{Handler: handler}).Serve(one) }() // it ends with the test
	return near, nil
}

// single is a listener to which one connection comes.
type single struct {
	conn chan net.Conn
	over chan struct{}
}

func (s *single) Accept() (net.Conn, error) {
	select {
	case c := <-s.conn:
		return c, nil
	case <-s.over:
		return nil, net.ErrClosed
	}
}
func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

// silent takes a request and says nothing.
func (o *outside) silent(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-o.over:
	}
}

// late answers with a page after a while, and with stall falls silent in its middle.
func (o *outside) late(after time.Duration, stall bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(after):
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", pypi.ContentTypeJSON)
		if stall {
			_, _ = fmt.Fprint(w, `{"meta":`) // who does not read it is gone
			_ = http.NewResponseController(w).Flush()
			o.silent(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, `{"meta":{"api-version":"1.1"},"name":"brie","versions":["1.0"],"files":[{"filename":%q,"url":"http://files.test/brie.whl","hashes":{"sha256":%q},"size":100000}]}`,
			brieWheel, brieDigest)
	}
}

const brieWheel = "brie-1.0-py3-none-any.whl"

var brieDigest = pypi.Digest{7}

// pantry is a Catalogue with the page of brie, and a Shelf with nothing on it.
type pantry struct {
	mu   sync.Mutex
	page *pypi.Project
}

func newPantry() *pantry {
	return &pantry{page: &pypi.Project{Name: "brie", Files: []pypi.File{{
		Filename: brieWheel, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: brieDigest.String()}}, Size: 100_000,
	}}}}
}

func (*pantry) Version() uint64 { return 0 }

func (p *pantry) Project(name pypi.Name) (*pypi.Project, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name != "brie" {
		return nil, false, nil
	}
	page := *p.page
	return &page, true, nil
}

func (p *pantry) Visit(name pypi.Name, use func(*pypi.Project, uint64, pypi.Files) error) (bool, error) {
	page, known, _ := p.Project(name)
	if !known {
		return false, nil
	}
	return true, use(page, 1, pypi.FilesOf(page))
}

func (p *pantry) Sound(name pypi.Name) (bool, bool, error) { return name == "brie", true, nil }

func (p *pantry) File(name pypi.Name, _ pypi.Digest, _ string) (*pypi.File, pypi.Status, bool, error) {
	page, known, _ := p.Project(name)
	if !known {
		return nil, pypi.Status{}, false, nil
	}
	f := page.Files[0]
	return &f, page.Status, true, nil
}

func (p *pantry) Generation(name pypi.Name) (uint64, bool, error) { return 1, name == "brie", nil }
func (p *pantry) Serial(name pypi.Name) (int64, bool, error)      { return 0, name == "brie", nil }

func (p *pantry) PutProject(page *pypi.Project, _ []byte, _ map[string]time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.page = page
	return nil
}

func (p *pantry) DeleteProject(pypi.Name) error                { return nil }
func (p *pantry) Held(pypi.Name) (map[pypi.Digest]Item, error) { return nil, nil }
func (p *pantry) Stocked(func(pypi.Name) bool) error           { return nil }

func (p *pantry) Begin(item Item) (Incoming, error) { return &parcel{size: item.Size}, nil }
func (p *pantry) Open(pypi.Name, pypi.Digest) (*os.File, Item, error) {
	return nil, Item{}, fs.ErrNotExist
}
func (p *pantry) Pin(pypi.Name, pypi.Digest, bool) error      { return nil }
func (p *pantry) Count() (int, error)                         { return 0, nil }
func (p *pantry) Waiting(func(pypi.Digest, int64) bool) error { return nil }

// parcel is an Incoming to which nothing comes.
type parcel struct {
	fetch.Target
	size int64
}

func (p *parcel) Offset() int64             { return 0 }
func (p *parcel) Size() int64               { return p.size }
func (p *parcel) Validator() string         { return "" }
func (p *parcel) SetValidator(string)       {}
func (p *parcel) Follow() (*os.File, error) { return nil, fs.ErrNotExist }
func (p *parcel) Commit() error             { return ErrCorrupt }
func (p *parcel) Close() error              { return nil }

// cardNotes are notes on a card that takes as long to write as the test has it.
type cardNotes struct {
	*shelfOfNotes
	written chan struct{} // nil: at once
}

func (c *cardNotes) SetNote(name pypi.Name, note []byte, lists map[string]time.Time) error {
	if c.written != nil {
		<-c.written
	}
	return c.shelfOfNotes.SetNote(name, note, lists)
}

// counter is an engine that clients ask, in a bubble.
type counter struct {
	*Engine
	t     *testing.T
	world *outside
	notes *cardNotes
}

const (
	pages   = "upstream.test:80"
	files   = "files.test:80"
	mirrors = "mirror.test:80"
)

// serve has clients ask an engine whose page of brie is not fresh.
func serve(t *testing.T, withMirror bool, use func(*counter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{t: t, world: &outside{hosts: make(map[string]http.HandlerFunc), over: make(chan struct{})}, notes: &cardNotes{shelfOfNotes: newShelfOfNotes()}}
		client, err := wire.NewClient(wire.Options{Dial: c.world.dial})
		if err != nil {
			t.Fatal(err)
		}
		index, err := upstream.New("http://upstream.test/simple/", client, 0)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Pull: true}
		if withMirror {
			if o.Mirrors, err = mirror.New(index, []string{"http://mirror.test/simple/"}, mirror.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		shelf := newPantry()
		c.Engine = New(index, client, shelf, shelf, c.notes, o)
		use(c)
		if c.notes.written != nil {
			close(c.notes.written)
		}
		c.Close()
		close(c.world.over)
	})
}

// page asks for a page and gives how long the client has waited.
func (c *counter) page(name pypi.Name) (took time.Duration, err error) {
	begun := time.Now()
	v, err := c.Page(c.t.Context(), name)
	if err == nil {
		err = v.Visit(func(_ *pypi.Project, files pypi.Files) error {
			for _, err := range files {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return time.Since(begun), err
}

// file asks for what is not here and gives how long the client has waited.
func (c *counter) file(metadata bool) (time.Duration, error) {
	begun := time.Now()
	content, err := c.File(c.t.Context(), "brie", brieDigest, brieWheel, metadata)
	if err == nil {
		err = content.Close()
	}
	return time.Since(begun), err
}

// TestStay: whatever a request waits for, one after the other, it waits by the same
// moment, to the millisecond.
func TestStay(t *testing.T) {
	const wait = 1500 * time.Millisecond
	for _, c := range []struct {
		name   string
		mirror bool
		ask    func(*counter) (time.Duration, error)
		most   time.Duration
		absent bool // there is no such answer, and he is told so
	}{
		{name: "the upstream is silent", ask: func(c *counter) (time.Duration, error) {
			c.world.becomes(pages, c.world.silent)
			return c.page("brie")
		}, most: wait},
		{name: "it is known to be silent", ask: func(c *counter) (time.Duration, error) {
			c.world.becomes(pages, c.world.silent)
			if _, err := c.page("brie"); err != nil {
				c.t.Error(err)
			}
			return c.page("brie")
		}},
		{name: "it answers late and falls silent", ask: func(c *counter) (time.Duration, error) {
			c.world.becomes(pages, c.world.late(1400*time.Millisecond, true))
			return c.page("brie")
		}, most: wait},
		{name: "it answers late, and what it says is not durable for long", ask: func(c *counter) (time.Duration, error) {
			c.notes.written = make(chan struct{})
			c.world.becomes(pages, c.world.late(1400*time.Millisecond, false))
			return c.page("brie")
		}, most: wait},
		{name: "the line goes down under him, and the mirror is silent", mirror: true, ask: func(c *counter) (time.Duration, error) {
			c.world.after = 1400 * time.Millisecond
			c.world.becomes(mirrors, c.world.silent)
			return c.page("brie")
		}, most: wait},
		{name: "the mirror is known to be silent", mirror: true, ask: func(c *counter) (time.Duration, error) {
			c.world.becomes(mirrors, c.world.silent)
			if took, err := c.page("brie"); took != wait || err != nil {
				c.t.Errorf("the first has waited %v, and has %v", took, err)
			}
			return c.page("brie")
		}},
		{name: "the mirror answers in time", mirror: true, ask: func(c *counter) (time.Duration, error) {
			c.world.becomes(mirrors, c.world.late(time.Second, false))
			return c.page("brie")
		}, most: time.Second},
		{name: "a file without address, and the upstream is silent", ask: func(c *counter) (time.Duration, error) {
			c.world.becomes(pages, c.world.silent)
			return c.file(false)
		}, most: wait, absent: true},
		{name: "a file without address, and its host is silent", ask: func(c *counter) (time.Duration, error) {
			c.world.becomes(pages, c.world.late(time.Second, false))
			c.world.becomes(files, c.world.silent)
			return c.file(false)
		}, most: time.Second + wait, absent: true},
		{name: "a wish that is not durable for long", ask: func(c *counter) (time.Duration, error) {
			c.notes.written = make(chan struct{})
			return c.page("unheard-of")
		}, most: wait + noting, absent: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			serve(t, c.mirror, func(b *counter) {
				took, err := c.ask(b)
				var absent *Absent
				if errors.As(err, &absent) != c.absent || err != nil && !c.absent {
					t.Errorf("he gets %v", err)
				}
				if took > c.most {
					t.Errorf("he has waited %v, at most %v is right", took, c.most)
				}
				t.Logf("%v", took)
			})
		})
	}
}

// TestPromise: a wish of which the client is told is durable.
func TestPromise(t *testing.T) {
	for _, durable := range []bool{true, false} {
		serve(t, false, func(c *counter) {
			if !durable {
				c.notes.written = make(chan struct{})
			}
			_, err := c.page("unheard-of")
			if told := strings.Contains(fmt.Sprint(err), "it will be fetched"); told != durable {
				t.Errorf("durable: %t; told: %v", durable, err)
			}
			if noted := c.notes.notes["unheard-of"] != nil; noted != durable {
				t.Errorf("durable: %t, noted: %t", durable, noted)
			}
		})
	}
}
