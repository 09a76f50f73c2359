package feed_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"cheeseboard/httpd/feed"
	"cheeseboard/storage/pypi"
)

// pythonMirror does what mirrors do with Python's own client, which the standard
// mirror client is built on.
const pythonMirror = `
import json, sys, xmlrpc.client
master = xmlrpc.client.ServerProxy(sys.argv[1], allow_none=True)
changelog = master.changelog_since_serial(103)
changed = {}
for package, version, timestamp, action, serial in changelog:
    assert version is None and isinstance(timestamp, int) and action, changelog
    changed[package] = max(serial, changed.get(package, 0))
faults = []
for call in (lambda: master.search({"name": ["pip"]}), lambda: master.changelog_since_serial("7"), lambda: master.system.listMethods()):
    try:
        call()
    except xmlrpc.client.Fault as f:
        faults.append(f.faultCode)
print(json.dumps({"last": master.changelog_last_serial(), "changed": changed, "none": master.changelog_since_serial(2**31 - 1),
    "all": master.list_packages_with_serial(), "names": master.list_packages(), "faults": faults,
    "rows": len(xmlrpc.client.ServerProxy(sys.argv[2]).changelog_since_serial(0))}))
`

func TestPythonFollows(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 in PATH")
	}
	j := history(3)
	j.entries = append(j.entries, pypi.ListEntry{Name: "large", Serial: 1 << 40}) // beyond <int>
	server := httptest.NewServer(feed.New(j, nil))
	defer server.Close()
	full := httptest.NewServer(feed.New(history(pypi.MaxFeedRows+1), nil))
	defer full.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "-c", pythonMirror, server.URL+feed.Path, full.URL+feed.Path+"/").Output()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	const large = 1 << 40
	want := map[string]any{
		"last":    float64(large),
		"changed": map[string]any{"project-2": 106., "large": float64(large)},
		"none":    []any{[]any{"large", nil, 0., "change", float64(large)}},
		"all":     map[string]any{"project-0": 100., "project-1": 103., "project-2": 106., "large": float64(large)},
		"names":   []any{"project-0", "project-1", "project-2", "large"},
		"faults":  []any{-32601., -32602., -32601.},
		"rows":    50000.,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
