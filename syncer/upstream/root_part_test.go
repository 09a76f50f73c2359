package upstream_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// bigList is a root list whose every answer is cut.
type bigList struct {
	names  []pypi.Name
	cut    int64 // bytes after which an answer ends; 0: none is cut
	gzip   bool  // has it for who asks
	html   bool
	whole  bool                // ignores ranges
	change func(*bigList)      // between two answers; the ETag changes with it
	lie    func(http.Header)   // about an answer in part
	extra  func(string) string // changes the text

	mu      sync.Mutex
	version int
	asked   []string // ranges
	sent    int64
}

func numbered(n int) []pypi.Name {
	var names []pypi.Name
	for i := range n {
		names = append(names, pypi.Name(fmt.Sprintf("project-%06d", i)))
	}
	return names
}

func (l *bigList) text() []byte {
	var b bytes.Buffer
	form := pypi.FormJSON
	if l.html {
		form = pypi.FormHTML
	}
	err := pypi.WriteList(&b, form, 9, func(yield func(pypi.ListEntry) bool) {
		for i, name := range l.names {
			if !yield(pypi.ListEntry{Name: name, Serial: int64(i + 1)}) {
				return
			}
		}
	})
	if err != nil {
		panic(err)
	}
	if l.extra != nil {
		return []byte(l.extra(b.String()))
	}
	return b.Bytes()
}

func (l *bigList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, r.Header.Get("Range"))
	if l.change != nil && l.version > 0 {
		l.change(l)
	}
	l.version++
	body := l.text()
	kind := pypi.ContentTypeJSON
	if l.html {
		kind = "text/html"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("ETag", strconv.Quote(strconv.Itoa(len(l.names))))
	if l.change != nil {
		w.Header().Set("ETag", strconv.Quote(strconv.Itoa(l.version)))
	}
	if l.whole {
		r.Header.Del("Range")
	} else if r.Header.Get("Range") != "" && l.lie != nil {
		w = lying{w, l.lie}
	}
	if l.gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(body)
		_ = z.Close()
		body = packed.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
	}
	out := http.ResponseWriter(&tallied{ResponseWriter: w, sent: &l.sent, left: l.cut, cut: l.cut > 0})
	http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(body))
}

// tallied counts what is sent, and breaks the connection off.
type tallied struct {
	http.ResponseWriter
	sent *int64
	cut  bool
	left int64
}

func (t *tallied) Write(p []byte) (int, error) {
	if t.cut && int64(len(p)) > t.left {
		n, _ := t.ResponseWriter.Write(p[:t.left])
		*t.sent += int64(n)
		_ = http.NewResponseController(t.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := t.ResponseWriter.Write(p)
	*t.sent += int64(n)
	t.left -= int64(n)
	return n, err
}

type lying struct {
	http.ResponseWriter
	lie func(http.Header)
}

func (l lying) WriteHeader(status int) {
	l.lie(l.Header())
	l.ResponseWriter.WriteHeader(status)
}

// readList reads a list as often as it gets further, keeping its place.
func readList(t *testing.T, l *bigList) (names map[pypi.Name]int, root upstream.Root, err error) {
	t.Helper()
	server := httptest.NewServer(l)
	defer server.Close()
	names = make(map[pypi.Name]int)
	root, err = index(t, server.URL+"/simple/").Feed().Root(t.Context(), upstream.RootQuery{}, func(e pypi.ListEntry) error {
		names[e.Name]++
		return nil
	})
	return names, root, err
}

// TestRootOverALineThatBreaks wants every project of a list of which no answer
// comes whole, and hardly a byte of it twice.
func TestRootOverALineThatBreaks(t *testing.T) {
	const n = 40_000
	insert := func(l *bigList) {
		at := len(l.names) / 10
		l.names = slices.Insert(slices.Clone(l.names), at, pypi.Name(fmt.Sprintf("new-%d", l.version)))
		l.names = slices.Delete(l.names, at/2, at/2+1)
	}
	for what, l := range map[string]*bigList{
		"ranges":            {cut: 500_000},
		"packed at first":   {cut: 100_000, gzip: true},
		"it changes always": {cut: 500_000, change: insert},
		"an older form":     {cut: 500_000, extra: func(s string) string { return strings.ReplaceAll(s, ",\n{", ", {") }},
		"keys elsewhere": {cut: 500_000, extra: func(s string) string {
			head, rest, _ := strings.Cut(s, `"projects"`)
			meta := strings.TrimSuffix(strings.TrimPrefix(head, "{"), ",")
			return `{"projects"` + strings.TrimSuffix(rest, "}") + "," + meta + "}"
		}},
	} {
		l.names = numbered(n)
		names, root, err := readList(t, l)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		size := int64(len(l.text()))
		for _, name := range numbered(n) {
			if names[name] == 0 && slices.Contains(l.names, name) {
				t.Errorf("%s: %s is missing", what, name)
				break
			}
		}
		t.Logf("%s: %d answers, %.3f of the list sent", what, len(l.asked), float64(l.sent)/float64(size))
		if len(l.asked) < 3 || root.Bytes > size*11/10 || (root.Validators == upstream.Validators{}) != (l.change != nil) {
			t.Errorf("%s: %d answers, %d bytes for a list of %d: %+v", what, len(l.asked), root.Bytes, size, root)
		}
		if root.Summary.LastSerial != 9 || root.Place != (upstream.Place{}) || root.Summary.Projects != sum(names) {
			t.Errorf("%s: %+v, %d handed on", what, root, sum(names))
		}
	}
}

func sum(names map[pypi.Name]int) (n int) {
	for _, times := range names {
		n += times
	}
	return n
}

// TestRootInPartsThatDoNotFit wants the whole list anew where the rest of it
// belongs to another, and no false project.
func TestRootInPartsThatDoNotFit(t *testing.T) {
	reordered := func(l *bigList) {
		l.names = append(slices.Clone(l.names[len(l.names)/2:]), l.names[:len(l.names)/2]...)
	}
	for what, l := range map[string]*bigList{
		"ranges are ignored":   {whole: true},
		"another order":        {change: reordered},
		"it is shorter":        {change: func(l *bigList) { l.names = l.names[:100] }},
		"another range":        {lie: func(h http.Header) { h.Set("Content-Range", "bytes 7-99/100") }},
		"no range":             {lie: func(h http.Header) { h.Del("Content-Range") }},
		"a login page":         {lie: func(h http.Header) { h.Set("Content-Type", "text/html") }},
		"under a coding":       {lie: func(h http.Header) { h.Set("Content-Encoding", "gzip") }},
		"HTML has no parts":    {html: true},
		"nothing to find from": {extra: func(s string) string { return strings.ReplaceAll(s, `"}`, `"   }`+strings.Repeat(" ", 200)) }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l.names = numbered(8_000)
			l.cut = int64(len(l.text()) / 2)
			server := httptest.NewServer(l)
			feed := index(t, server.URL+"/simple/").Feed()
			names := make(map[pypi.Name]int)
			take := func(e pypi.ListEntry) error { names[e.Name]++; return nil }
			root, err := feed.Root(t.Context(), upstream.RootQuery{}, take)
			if err == nil && what != "it is shorter" && what != "nothing to find from" {
				t.Errorf("%s: a list of which half comes is whole", what)
			}
			l.mu.Lock()
			l.cut, l.change = 0, nil // the line is good again
			l.mu.Unlock()
			if err != nil {
				root, err = feed.Root(t.Context(), upstream.RootQuery{From: root.Place}, take)
			}
			server.Close()
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			for _, name := range l.names {
				if names[name] == 0 {
					t.Errorf("%s: %s is missing", what, name)
					break
				}
			}
			for name := range names {
				if !strings.HasPrefix(string(name), "project-") {
					t.Errorf("%s: %q is no project", what, name)
				}
			}
		})
	}
}

// TestRootGoesOnAfterARestart keeps the place from one reading to the next.
func TestRootGoesOnAfterARestart(t *testing.T) {
	l := &bigList{names: numbered(40_000)}
	server := httptest.NewServer(l)
	defer server.Close()
	enough := fmt.Errorf("enough")
	names := make(map[pypi.Name]int)
	var place upstream.Place
	for round := 0; ; round++ {
		n := 0
		root, err := index(t, server.URL+"/simple/").Feed().Root(t.Context(), upstream.RootQuery{From: place}, func(e pypi.ListEntry) error {
			if n++; n > 7000 {
				return enough
			}
			names[e.Name]++
			return nil
		})
		if err == nil {
			break
		}
		if err != enough || round > 10 {
			t.Fatalf("round %d: %v", round, err)
		}
		place = root.Place
	}
	if len(names) != 40_000 || sum(names) != 40_000 {
		t.Errorf("%d projects, handed on %d times", len(names), sum(names))
	}
}

func TestRootIsNotWorthIt(t *testing.T) {
	l := &bigList{names: numbered(40_000)}
	server := httptest.NewServer(l)
	defer server.Close()
	n := 0
	root, err := index(t, server.URL+"/simple/").Feed().Root(t.Context(), upstream.RootQuery{Most: 100_000}, func(pypi.ListEntry) error { n++; return nil })
	if err != upstream.ErrDear || root.Bytes < 100_000 || root.Bytes > 200_000 || n == 0 {
		t.Errorf("%d bytes, %d projects: %v", root.Bytes, n, err)
	}
	if wire.CauseOf(err) != "" {
		t.Errorf("it is put down to the line: %v", err)
	}
}
