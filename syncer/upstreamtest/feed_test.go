package upstreamtest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"cheeseboard/storage/pypi"
)

// post calls the feed with the codec of storage/pypi; no method sends nothing.
func post(t *testing.T, url, method string, params ...int64) answered {
	t.Helper()
	var body []byte
	if method != "" {
		body = pypi.AppendFeedCall(nil, method, params...)
	}
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, url, bytes.NewReader(body))
	must(t, err)
	r.Header.Set("Content-Type", "text/xml")
	a, err := do(rawClient(), r)
	must(t, err)
	return a
}

// changes reads the feed after a serial.
func changes(t *testing.T, server *Server, serial int64) ([]pypi.Change, error) {
	t.Helper()
	var rows []pypi.Change
	a := post(t, server.URL()+"/pypi", pypi.MethodSinceSerial, serial)
	sum, err := pypi.DecodeFeedChanges(strings.NewReader(string(a.body)), func(c pypi.Change) error {
		rows = append(rows, c)
		return nil
	})
	if a.status != 200 || sum.Skipped > 0 {
		t.Errorf("status %d, %+v", a.status, sum)
	}
	return rows, err
}

// TestFeedTellsTheHistory makes every change there is and wants PyPI's words for
// it, under serials that the pages state too.
func TestFeedTellsTheHistory(t *testing.T) {
	index := NewIndex()
	server := start(t, index)
	var want []string
	last := index.Serial()
	step := func(err error, told ...string) {
		t.Helper()
		must(t, err)
		rows, err := changes(t, server, last)
		must(t, err)
		var got []string
		for _, c := range rows {
			got = append(got, string(c.Name)+"|"+c.Version+"|"+c.Action)
			if c.Serial <= last || c.Timestamp < 1_700_000_000 {
				t.Errorf("%+v after %d", c, last)
			}
			last = c.Serial
		}
		if !slices.Equal(got, told) {
			t.Errorf("got %q, want %q", got, told)
		}
		if len(told) > 0 && last != index.Serial() {
			t.Errorf("the last row has serial %d, the index %d", last, index.Serial())
		}
		want = append(want, told...)
	}
	name, content := brie(t)
	sdist, err := Sdist{Name: "Brie.Fine", Version: "1.0"}.Build()
	must(t, err)
	step(nil)
	step(index.AddFile("Brie.Fine", name, content, Facts{}), "brie-fine||create", "brie-fine|1.0|new release", "brie-fine|1.0|add py3 file "+name)
	step(index.AddFile("Brie.Fine", "brie_fine-1.0.tar.gz", sdist, Facts{}), "brie-fine|1.0|add source file brie_fine-1.0.tar.gz")
	step(index.AddProject("feta"), "feta||create")
	step(index.Yank("brie-fine", name, "why"), "brie-fine|1.0|yank release")
	step(index.Unyank("brie-fine", name), "brie-fine|1.0|unyank release")
	step(index.SetProvenance("brie-fine", name, "https://cheese.example/p"))
	step(index.SetStatus("brie-fine", "archived", "")) // PyPI does not tell of it either
	step(index.ReplaceFile("brie-fine", name, slices.Concat(content, []byte{0}), Facts{}), "brie-fine|1.0|remove file "+name, "brie-fine|1.0|add py3 file "+name)
	step(index.SetStatus("brie-fine", "quarantined", "bad"), "brie-fine||project quarantined")
	step(index.SetStatus("brie-fine", "", ""), "brie-fine||project quarantine cleared")
	step(index.RemoveFile("brie-fine", name), "brie-fine|1.0|remove file "+name)
	step(index.RemoveProject("brie-fine"), "brie-fine||remove project")
	step(index.AddProject("brie-fine"), "brie-fine||create")
	if rows, err := changes(t, server, 0); err != nil || len(rows) != len(want) {
		t.Errorf("the whole history has %d rows, want %d, %v", len(rows), len(want), err)
	}
	if serial, err := pypi.DecodeFeedSerial(strings.NewReader(string(post(t, server.URL()+"/pypi/", pypi.MethodLastSerial).body))); err != nil || serial != last {
		t.Errorf("last serial %d, want %d, %v", serial, last, err)
	}
	if calls := server.Requests().On(OnFeed("*")).Calls(); len(calls) != 16 || calls[0] != "changelog_since_serial 20000000" || calls[15] != "changelog_last_serial" {
		t.Errorf("%q", calls)
	}
}

func TestFeedLies(t *testing.T) {
	server := start(t, SampleIndex(1))
	all, err := changes(t, server, 0)
	must(t, err)
	middle := all[10].Serial
	honest, err := changes(t, server, middle)
	must(t, err)
	if !slices.Equal(honest, all[11:]) {
		t.Errorf("%d rows, want %d", len(honest), len(all)-11)
	}
	for _, c := range []struct {
		lie  Lie
		want func(got []pypi.Change) bool
	}{
		{ReplayRows(4), func(got []pypi.Change) bool { return slices.Equal(got, all[7:]) }},
		{ReplayRows(1000), func(got []pypi.Change) bool { return slices.Equal(got, all) }},
		{Gap(2), func(got []pypi.Change) bool { return len(got) < len(honest) && len(got) > 5 }},
		{Backwards(), func(got []pypi.Change) bool {
			return len(got) == len(honest) && slices.IsSortedFunc(got, func(a, b pypi.Change) int { return int(b.Timestamp - a.Timestamp) })
		}},
	} {
		told := server.Tell(OnFeed("changelog_since_serial"), c.lie, 1)
		got, err := changes(t, server, middle)
		if err != nil || !c.want(got) || told.Count() != 1 {
			t.Errorf("%s: %d rows, %v", c.lie.Name, len(got), err)
		}
		if got, err := changes(t, server, middle); err != nil || !slices.Equal(got, honest) {
			t.Errorf("after %s: %d rows, %v", c.lie.Name, len(got), err)
		}
	}
	server.Tell(OnFeed("*"), Fault(-32500, ""), 2)
	for range 2 {
		if _, err := changes(t, server, 0); err == nil || !strings.Contains(err.Error(), "-32500") || !strings.Contains(err.Error(), "too many requests") {
			t.Errorf("fault: %v", err)
		}
	}
	server.Tell(OnFeed("changelog_since_serial"), CutAfter(500), 1)
	if a := post(t, server.URL()+"/pypi", pypi.MethodSinceSerial, 0); a.err == nil || len(a.body) != 500 {
		t.Errorf("cut: %d bytes, %v", len(a.body), a.err)
	}
}

func TestFeedRefuses(t *testing.T) {
	server := start(t, SampleIndex(1))
	for _, c := range []struct {
		method string
		params []int64
		want   string
	}{
		{"", nil, "-32700"}, {"search", nil, "-32601"}, {pypi.MethodSinceSerial, nil, "-32602"}, {pypi.MethodLastSerial, []int64{1}, "-32602"},
	} {
		a := post(t, server.URL()+"/pypi", c.method, c.params...)
		if _, err := pypi.DecodeFeedSerial(strings.NewReader(string(a.body))); a.status != 200 || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s%v: %d, %v", c.method, c.params, a.status, err)
		}
	}
	if a := get(t, server.URL()+"/pypi"); a.status != 405 {
		t.Errorf("GET: %d", a.status)
	}
	static := NewServer(SampleIndex(1))
	static.Dialect.NoFeed = true
	startWith(t, static)
	if a := post(t, static.URL()+"/pypi", pypi.MethodLastSerial); a.status != 404 {
		t.Errorf("no feed: %d", a.status)
	}
}

// TestPythonReadsTheFeed has Python's own client read it, with what it must get
// right: nil, structs, faults and gzip.
func TestPythonReadsTheFeed(t *testing.T) {
	python := findPython(t)
	index := SampleIndex(1)
	server := start(t, index)
	const script = `
import json, sys, xmlrpc.client
p = xmlrpc.client.ServerProxy(sys.argv[1])
rows = p.changelog_since_serial(20000000)
try:
    p.search({"name": "pip"})
except xmlrpc.client.Fault as f:
    fault = f.faultCode
print(json.dumps([p.changelog_last_serial(), len(rows), rows[0], p.list_packages_with_serial(), p.list_packages(), fault]))
`
	check := exec.CommandContext(testContext(t), python, "-c", script, server.URL()+"/pypi")
	check.Env = pipEnvironment()
	out, err := check.Output()
	must(t, err)
	var last, fault int64
	var n int
	var first []any
	serials, names := map[string]int64{}, []string{}
	got := []any{&last, &n, &first, &serials, &names, &fault}
	must(t, json.Unmarshal(out, &got))
	rows, _ := index.events()
	if last != index.Serial() || n != len(rows) || len(names) != 14 || len(serials) != 14 || fault != -32601 {
		t.Errorf("%s", out)
	}
	if len(first) != 5 || first[1] != nil || first[3] != "create" || first[4] != float64(rows[0].serial) {
		t.Errorf("first row %v", first)
	}
	if slices.Sorted(maps.Keys(serials))[0] != slices.Min(names) || !slices.Contains(slices.Collect(maps.Values(serials)), index.Serial()) {
		t.Errorf("serials %v, names %q", serials, names)
	}
}
