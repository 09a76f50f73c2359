package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

// nameList is an upstream that has nothing but a long root list, on a line that cuts
// every answer.
type nameList struct {
	text, packed []byte // of the list; packed nil: it has no gzip
	cut          int64

	mu    sync.Mutex
	sent  int64
	asked int
	at    int64         // bytes after which reached is closed
	is    chan struct{} // closed then
}

func newNameList(t *testing.T, n int, packed bool) *nameList {
	t.Helper()
	l := &nameList{cut: mebi}
	var text bytes.Buffer
	must(t, pypi.WriteList(&text, pypi.FormJSON, int64(n), func(yield func(pypi.ListEntry) bool) {
		for i := range n {
			if !yield(pypi.ListEntry{Name: nameOf(i), Serial: int64(i + 1)}) {
				return
			}
		}
	}))
	l.text = text.Bytes()
	if packed {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, err := z.Write(l.text)
		must(t, err)
		must(t, z.Close())
		l.packed = out.Bytes()
	}
	return l
}

func nameOf(i int) pypi.Name { return pypi.Name(fmt.Sprintf("project-%06d-%x", i, i*i%997)) }

// reached gives a channel that is closed when so many bytes more were sent.
func (l *nameList) reached(n int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.is = l.sent+n, make(chan struct{})
	return l.is
}

func (l *nameList) tally(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent += int64(n)
	if l.is != nil && l.sent >= l.at {
		close(l.is)
		l.is = nil
	}
}

// counts tells what was sent and asked for so far: an answer that a kill has cut may
// still be under way.
func (l *nameList) counts() (sent int64, asked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.asked
}

func (l *nameList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/simple/" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	l.mu.Lock()
	l.asked++
	l.mu.Unlock()
	body := l.text
	if l.packed != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = l.packed
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", pypi.ContentTypeJSON)
	w.Header().Set("ETag", strconv.Quote(strconv.Itoa(len(body))))
	out := &cutWriter{ResponseWriter: w, left: l.cut, tally: l.tally}
	http.ServeContent(struct{ http.ResponseWriter }{out}, r, "", time.Time{}, bytes.NewReader(body))
}

type cutWriter struct {
	http.ResponseWriter
	left  int64
	tally func(int)
}

func (c *cutWriter) Write(p []byte) (int, error) {
	cut := int64(len(p)) > c.left
	n, err := c.ResponseWriter.Write(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.tally(n)
	if cut {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestNamesOverALineThatBreaks brings the names of all projects, as many as PyPI has,
// over a line that cuts every megabyte, while the box is killed twice. Hardly a byte
// comes twice, and memory stays small.
func TestNamesOverALineThatBreaks(t *testing.T) {
	const n = 800_000
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("gzip=%t", packed), func(t *testing.T) {
			l := newNameList(t, n, packed)
			server := httptest.NewServer(l)
			defer server.Close()
			s := newSite(t, nil, "sync.names=true")
			args := append(s.args("sync"), "--set", "upstream.url="+server.URL+"/simple/")
			var memory int
			for run := range 3 {
				reached := l.reached(int64(len(l.text)) / 5)
				c := command(t, args...)
				c.Stdout, c.Stderr = io.Discard, io.Discard
				must(t, c.Start())
				select {
				case <-reached:
				case <-time.After(patience):
					t.Fatal("the list does not come")
				}
				memory = max(memory, peak(t, c.Process.Pid))
				if run < 2 { // a power cut
					must(t, c.Process.Kill())
				}
				if err := c.Wait(); err != nil && run == 2 {
					t.Fatalf("sync: %v", err)
				}
			}
			sent, asked := l.counts()
			ratio := float64(sent) / float64(len(l.text))
			t.Logf("%d names, %d bytes: %d answers, %.3f of the list was sent, at most %d MB in memory", n, len(l.text), asked, ratio, memory>>20)
			if ratio > 1.1 {
				t.Errorf("%.3f times the list was sent", ratio)
			}
			if len(raceFlags) == 0 && memory > 128<<20 {
				t.Errorf("it takes %d MB", memory>>20)
			}
			roll := s.roll(server.URL)
			if roll.Names != n || roll.Coming != 0 {
				t.Errorf("%d names are here, %d are coming, want %d", roll.Names, roll.Coming, n)
			}
			// Once it is here, it is not asked for again.
			_, before := l.counts()
			out, err := exec.Command(program(), args...).CombinedOutput()
			if _, after := l.counts(); err != nil || after != before {
				t.Errorf("another sync asks %d times for the list: %v\n%s", after-before, err, out)
			}
			// While the line is down, a name that nobody has is told from one that is only
			// not here.
			server.Close()
			b := launch(t, exec.Command(program(), append(args[:0:0], append([]string{"serve", "--listen", "127.0.0.1:0"}, args[1:]...)...)...))
			must(t, b.ready())
			for name, want := range map[string]bool{string(nameOf(0)): false, string(nameOf(n - 1)): false, string(nameOf(n / 3)): false, "projekt-000001": true, "zzz": true, "a": true} {
				if said := b.refusal(name); strings.Contains(said, "is the name right?") != want {
					t.Errorf("of %s it says: %s", name, said)
				}
			}
			b.quit()
		})
	}
}

// peak is the most memory in bytes that a process has had so far.
func peak(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, after, _ := strings.Cut(string(raw), "VmHWM:")
	field, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	n, err := strconv.Atoi(field)
	must(t, err)
	return n << 10
}

type rollStatus struct {
	Names, Coming int
}

// roll is what status says of the list of all projects.
func (s *site) roll(upstream string) rollStatus {
	s.t.Helper()
	o := s.succeed("status", "--json", "--set", "upstream.url="+upstream+"/simple/")
	var status struct{ Sync struct{ Roll rollStatus } }
	if err := json.Unmarshal([]byte(o.stdout), &status); err != nil {
		s.t.Fatalf("%v in %s", err, o.stdout)
	}
	return status.Sync.Roll
}

// refusal is what the box says of a project that is not here.
func (b *box) refusal(name string) string {
	b.t.Helper()
	resp, err := http.Get(b.index() + name + "/")
	must(b.t, err)
	said, err := io.ReadAll(resp.Body)
	must(b.t, err)
	must(b.t, resp.Body.Close())
	return string(said)
}
