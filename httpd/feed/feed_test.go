package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"cheeseboard/httpd/feed"
	"cheeseboard/storage/pypi"
)

// journal has a fixed history; before is called before each entry is given.
type journal struct {
	entries []pypi.ListEntry // by serial
	before  func(i int) error
}

func (j *journal) Last(context.Context) (int64, error) {
	if err := j.check(0); err != nil || len(j.entries) == 0 {
		return 0, err
	}
	return j.entries[len(j.entries)-1].Serial, nil
}

func (j *journal) Since(_ context.Context, serial int64) iter.Seq2[pypi.ListEntry, error] {
	first := slices.IndexFunc(j.entries, func(e pypi.ListEntry) bool { return e.Serial > serial })
	if first < 0 {
		first = len(j.entries)
	}
	return j.each(j.entries[first:])
}

func (j *journal) All(context.Context) iter.Seq2[pypi.ListEntry, error] { return j.each(j.entries) }

func (j *journal) each(entries []pypi.ListEntry) iter.Seq2[pypi.ListEntry, error] {
	return func(yield func(pypi.ListEntry, error) bool) {
		for i, e := range entries {
			err := j.check(i)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (j *journal) check(i int) error {
	if j.before == nil {
		return nil
	}
	return j.before(i)
}

// history has n projects; every third serial is one of theirs.
func history(n int) *journal {
	j := new(journal)
	for i := range n {
		j.entries = append(j.entries, pypi.ListEntry{Name: pypi.Name(fmt.Sprintf("project-%d", i)), Serial: int64(100 + 3*i)})
	}
	return j
}

func call(t *testing.T, h http.Handler, method string, params ...int64) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, feed.Path, bytes.NewReader(pypi.AppendFeedCall(nil, method, params...))))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/xml") {
		t.Errorf("%s%v: %d, %v", method, params, w.Code, w.Header())
	}
	return w
}

func since(t *testing.T, h http.Handler, serial int64) ([]pypi.ListEntry, error) {
	t.Helper()
	var got []pypi.ListEntry
	_, err := pypi.DecodeFeedChanges(call(t, h, pypi.MethodSinceSerial, serial).Body, func(c pypi.Change) error {
		got = append(got, pypi.ListEntry{Name: c.Name, Serial: c.Serial})
		return nil
	})
	return got, err
}

func TestCalls(t *testing.T) {
	j := history(10)
	h := feed.New(j, nil)
	if n, err := pypi.DecodeFeedSerial(call(t, h, pypi.MethodLastSerial).Body); err != nil || n != 127 {
		t.Errorf("last serial %d, %v", n, err)
	}
	for serial, first := range map[int64]int{0: 0, 99: 0, 100: 1, 101: 1, 126: 9, 127: 10, 1 << 60: 10, -5: 0, math.MinInt64: 0} {
		if got, err := since(t, h, serial); err != nil || !slices.Equal(got, j.entries[first:]) {
			t.Errorf("since %d: %v, %v", serial, got, err)
		}
	}
	var listed []pypi.ListEntry
	if _, err := pypi.DecodeFeedList(call(t, h, pypi.MethodListSerials).Body, func(e pypi.ListEntry) error { listed = append(listed, e); return nil }); err != nil || !slices.Equal(listed, j.entries) {
		t.Errorf("list: %v, %v", listed, err)
	}
	if text := call(t, h, pypi.MethodListPackages).Body.String(); strings.Count(text, "<string>project-") != 10 || strings.Contains(text, "<int>") {
		t.Errorf("names: %s", text)
	}
	empty := feed.New(new(journal), nil)
	if n, err := pypi.DecodeFeedSerial(call(t, empty, pypi.MethodLastSerial).Body); err != nil || n != 0 {
		t.Errorf("an empty journal: %d, %v", n, err)
	}
	if got, err := since(t, empty, 0); err != nil || got != nil {
		t.Errorf("an empty journal: %v, %v", got, err)
	}
}

func TestFaults(t *testing.T) {
	h := feed.New(history(3), nil)
	for body, want := range map[string]int64{
		"": pypi.FaultUnreadable, "<html/>": pypi.FaultUnreadable, `{"method": "x"}`: pypi.FaultUnreadable,
		"<methodCall><methodName>changelog_last_serial</methodName>":                                                                                pypi.FaultUnreadable,
		string(pypi.AppendFeedCall(nil, "search")):                                                                                                  pypi.FaultNoSuchMethod,
		string(pypi.AppendFeedCall(nil, "system.listMethods")):                                                                                      pypi.FaultNoSuchMethod,
		string(pypi.AppendFeedCall(nil, "system.multicall", 1)):                                                                                     pypi.FaultNoSuchMethod,
		string(pypi.AppendFeedCall(nil, "")):                                                                                                        pypi.FaultNoSuchMethod,
		string(pypi.AppendFeedCall(nil, pypi.MethodSinceSerial)):                                                                                    pypi.FaultInvalidParams,
		string(pypi.AppendFeedCall(nil, pypi.MethodSinceSerial, 1, 2)):                                                                              pypi.FaultInvalidParams,
		string(pypi.AppendFeedCall(nil, pypi.MethodLastSerial, 1)):                                                                                  pypi.FaultInvalidParams,
		"<methodCall><methodName>changelog_since_serial</methodName><params><param><value><nil/></value></param></params></methodCall>":             pypi.FaultInvalidParams,
		"<methodCall><methodName>changelog_since_serial</methodName><params><param><value><string>7</string></value></param></params></methodCall>": pypi.FaultInvalidParams,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, feed.Path, strings.NewReader(body)))
		_, err := pypi.DecodeFeedSerial(w.Body)
		if f := new(pypi.Fault); w.Code != http.StatusOK || !errors.As(err, &f) || f.Code != want {
			t.Errorf("%.120q: %d, %v, want %d", body, w.Code, err, want)
		}
	}
	for _, c := range []struct {
		method, coding, body string
		status               int
	}{
		{"GET", "", "", 405}, {"HEAD", "", "", 405}, {"PUT", "", "x", 405},
		{"POST", "gzip", "x", 415},
		{"POST", "identity", string(pypi.AppendFeedCall(nil, pypi.MethodLastSerial)), 200},
		{"POST", "", "<methodCall><methodName>" + strings.Repeat("x", 20<<10), 413},
		{"POST", "", "<methodCall>" + strings.Repeat(" ", 1<<20), 413},
	} {
		r := httptest.NewRequest(c.method, feed.Path, strings.NewReader(c.body))
		r.Header.Set("Content-Encoding", c.coding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || (w.Code == 405) != (w.Header().Get("Allow") == "POST") {
			t.Errorf("%s %q %.40q: %d, want %d", c.method, c.coding, c.body, w.Code, c.status)
		}
	}
}

func TestPages(t *testing.T) {
	j := history(pypi.MaxFeedRows + 10)
	h := feed.New(j, nil)
	for range 2 { // the second time, a run of equal serials lies across the end
		got, err := since(t, h, 0)
		want := pypi.MaxFeedRows
		for want < len(j.entries) && j.entries[want].Serial == j.entries[want-1].Serial {
			want++
		}
		if err != nil || !slices.Equal(got, j.entries[:want]) {
			t.Fatalf("%d rows, want %d, %v", len(got), want, err)
		}
		if rest, err := since(t, h, got[want-1].Serial); err != nil || !slices.Equal(rest, j.entries[want:]) {
			t.Errorf("%d rows are left, want %d, %v", len(rest), len(j.entries)-want, err)
		}
		for i := range 5 {
			j.entries[pypi.MaxFeedRows-2+i].Serial = j.entries[pypi.MaxFeedRows-2].Serial
		}
	}
	w := call(t, h, pypi.MethodListSerials)
	if sum, err := pypi.DecodeFeedList(w.Body, func(pypi.ListEntry) error { return nil }); err != nil || sum.Projects != len(j.entries) {
		t.Errorf("the list has %+v, %v", sum, err)
	}
}

// TestFailures breaks the journal at its begin, where a fault can be told, and
// in the middle, where the answer must not look whole.
func TestFailures(t *testing.T) {
	disk := errors.New("secret of the disk")
	for _, method := range []string{pypi.MethodLastSerial, pypi.MethodSinceSerial, pypi.MethodListSerials, pypi.MethodListPackages} {
		for _, at := range []int{0, 5_000} {
			if at > 0 && method == pypi.MethodLastSerial {
				continue
			}
			var log bytes.Buffer
			j := history(6_000)
			j.before = func(i int) error {
				if i == at {
					return disk
				}
				return nil
			}
			server := httptest.NewServer(feed.New(j, slog.New(slog.NewTextHandler(&log, nil))))
			body := pypi.AppendFeedCall(nil, method)
			if method == pypi.MethodSinceSerial {
				body = pypi.AppendFeedCall(nil, method, 0)
			}
			resp, err := server.Client().Post(server.URL, "text/xml", bytes.NewReader(body)) // the client takes gzip
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			err = errors.Join(err, resp.Body.Close())
			server.Close()
			if at == 0 && (err != nil || !strings.Contains(string(text), "-32603") || strings.Contains(string(text), "secret")) {
				t.Errorf("%s: %s, %v", method, text, err)
			}
			if at > 0 && (err == nil || strings.Contains(string(text), "</methodResponse>")) {
				t.Errorf("%s: %d bytes look whole, %v", method, len(text), err)
			}
			if !strings.Contains(log.String(), "secret of the disk") {
				t.Errorf("%s: log %q", method, log.String())
			}
		}
	}
}

// TestJournalOutOfOrder: a mirror would lose changes by it.
func TestJournalOutOfOrder(t *testing.T) {
	j := history(5)
	j.entries[3].Serial = 101
	if _, err := since(t, feed.New(j, nil), 0); err == nil || !strings.Contains(err.Error(), "-32603") {
		t.Errorf("%v", err)
	}
}

// TestManyCalls holds as many calls as are answered at once, and wants the next
// one refused in the words that mirrors know.
func TestManyCalls(t *testing.T) {
	j := history(10)
	inside, release := make(chan struct{}), make(chan struct{})
	j.before = func(i int) error {
		if i == 0 {
			inside <- struct{}{}
			<-release
		}
		return nil
	}
	h := feed.New(j, nil)
	done := make(chan error, 4)
	for range cap(done) {
		body := bytes.NewReader(pypi.AppendFeedCall(nil, pypi.MethodSinceSerial, 0))
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, feed.Path, body))
			_, err := pypi.DecodeFeedChanges(w.Body, func(pypi.Change) error { return nil })
			done <- err
		}()
		<-inside
	}
	_, err := since(t, h, 0)
	if f := new(pypi.Fault); !errors.As(err, &f) || f.Code != pypi.FaultApplication || !strings.Contains(f.Text, "too many requests") {
		t.Errorf("one call too many: %v", err)
	}
	close(release)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	j.before = nil
	if got, err := since(t, h, 0); err != nil || len(got) != 10 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

// TestAnswerMayTakeLongerThanTheCall sets a limit for the body, as the front
// does, and has the journal be slower than that. net/http lifts the limit once
// the body was read to its end, and only then: or it would end the request.
func TestAnswerMayTakeLongerThanTheCall(t *testing.T) {
	j := history(10)
	h := feed.New(j, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		j.before = func(i int) error {
			if i > 0 {
				return nil
			}
			over := time.NewTimer(600 * time.Millisecond)
			defer over.Stop()
			select {
			case <-r.Context().Done():
				return context.Cause(r.Context())
			case <-over.C:
				return nil
			}
		}
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	resp, err := server.Client().Post(server.URL, "text/xml", bytes.NewReader(pypi.AppendFeedCall(nil, pypi.MethodSinceSerial, 0)))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := pypi.DecodeFeedChanges(resp.Body, func(pypi.Change) error { return nil })
	if err = errors.Join(err, resp.Body.Close()); err != nil || sum.Rows != 10 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestGzip(t *testing.T) {
	h := feed.New(history(100), nil)
	for accept, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate": "gzip", "deflate, GZIP;q=0.5": "gzip", "gzip ; q=1": "gzip",
		"": "", "identity": "", "gzip;q=0": "", "gzip; q=0.000": "", "br": "", "*": "",
	} {
		r := httptest.NewRequest(http.MethodPost, feed.Path, bytes.NewReader(pypi.AppendFeedCall(nil, pypi.MethodListSerials)))
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding"); got != want || w.Header().Get("Vary") != "Accept-Encoding" || (w.Body.Bytes()[0] == 0x1f) != (want != "") {
			t.Errorf("%q: %q", accept, got)
		}
	}
}

// FuzzCall: no body makes the handler panic or answer otherwise than by XML-RPC
// or a refusal.
func FuzzCall(f *testing.F) {
	f.Add(pypi.AppendFeedCall(nil, pypi.MethodSinceSerial, 103))
	f.Add(pypi.AppendFeedCall(nil, pypi.MethodListSerials))
	f.Add([]byte("<methodCall><methodName>search</methodName><params><param><value><struct/></value></param></params></methodCall>"))
	h := feed.New(history(5), nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, feed.Path, bytes.NewReader(body)))
		if w.Code != http.StatusOK && w.Code != http.StatusRequestEntityTooLarge {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if text := w.Body.String(); w.Code == http.StatusOK && (!strings.HasPrefix(text, "<?xml") || !strings.HasSuffix(text, "</methodResponse>\n")) {
			t.Fatalf("%s", text)
		}
	})
}
