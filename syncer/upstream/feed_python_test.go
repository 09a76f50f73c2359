package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// pythonServer offers a feed, or nothing if it has an argument, until its input
// ends. It says on its output on which port.
const pythonServer = `
import sys, threading
from xmlrpc.server import SimpleXMLRPCServer, SimpleXMLRPCRequestHandler

class Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/pypi",)

rows = [("Project_%d" % (i % 300), None if i % 7 == 0 else "1.%d" % i, 1700000000 - i, "add py3 file <%d> & more" % i, 20000000 + 3 * i) for i in range(1000)]

def since(serial):
    if serial == 13:
        raise RuntimeError("unlucky")
    return [r for r in rows if r[4] > serial][:50000]

server = SimpleXMLRPCServer(("127.0.0.1", 0), requestHandler=Handler, allow_none=True, logRequests=False)
if len(sys.argv) == 1:
    server.register_function(lambda: rows[-1][4], "changelog_last_serial")
    server.register_function(since, "changelog_since_serial")
    server.register_function(lambda: {r[0]: r[4] for r in rows}, "list_packages_with_serial")
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
`

// python starts the server and gives its feed.
func python(t *testing.T, args ...string) *upstream.Feed {
	t.Helper()
	program, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 in PATH")
	}
	// The test's own context ends before its clean-up, which ends the server.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, append([]string{"-c", pythonServer}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return index(t, fmt.Sprintf("http://127.0.0.1:%s/simple/", strings.TrimSpace(port))).Feed()
}

func TestFeedOfPython(t *testing.T) {
	feed := python(t)
	const last = 20000000 + 3*999
	if got, err := feed.LastSerial(t.Context()); err != nil || got != last {
		t.Errorf("%d %v", got, err)
	}
	got, err := feed.Since(t.Context(), 20000000, nil)
	if err != nil || got.Rows != 999 || got.Skipped != 0 || got.Last != last || len(got.Projects) != 300 || serials(got.Projects)["project-299"] != 20000000+3*899 {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := feed.Since(t.Context(), last-3, nil); err != nil || len(got.Projects) != 1 || got.Projects[0] != (pypi.ListEntry{Name: "project-99", Serial: last}) {
		t.Errorf("%+v %v", got, err)
	}
	n := 0
	sum, err := feed.List(t.Context(), func(pypi.ListEntry) error { n++; return nil })
	if err != nil || sum != (pypi.ListSummary{LastSerial: last, Projects: 300}) || n != 300 {
		t.Errorf("%+v %v", sum, err)
	}
	var fault *pypi.Fault
	if _, err := feed.Since(t.Context(), 13, nil); !errors.As(err, &fault) || !strings.Contains(fault.Text, "unlucky") {
		t.Errorf("a fault of Python's: %v", err)
	}
}

func TestPythonWithoutFeed(t *testing.T) {
	feed := python(t, "none")
	if _, err := feed.LastSerial(t.Context()); !errors.Is(err, upstream.ErrNoFeed) || wire.CauseOf(err) != wire.Refused {
		t.Errorf("%v", err)
	}
}
