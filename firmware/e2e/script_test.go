package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cheeseboard/syncer/upstreamtest"
)

// TestScripts runs the scripts in testdata/script, each in a folder and with an
// upstream of its own. $UPSTREAM is the address of that. Besides testscript's
// commands there are
//
//	box start [ARGUMENT...]     start a box that serves; $BOX is its index
//	box stop                    end it by SIGTERM; it must end with status 0
//	ends STATUS PROGRAM [ARGUMENT...]
//	                            run a program that must end with this status
//	spoil FILENAME              change one byte of a file that is stored in data
//	lose FILENAME               remove the bytes of a file that is stored in data
//	upstream lie TARGET LIE [TIMES]
//	upstream truth | kill | revive | forget
//	upstream asked COUNT TARGET the upstream was asked for the target so often
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			server := upstreamtest.NewServer(upstreamtest.SampleIndex(1))
			if err := server.Start(); err != nil {
				return err
			}
			env.Defer(func() {
				if err := server.Close(); err != nil {
					env.T().Fatal("close upstream:", err)
				}
			})
			env.Values[upstreamKey{}] = server
			env.Values[runningKey{}] = new(running)
			env.Setenv("PATH", filepath.Dir(program())+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Setenv("UPSTREAM", server.IndexURL())
			if os.Getenv("GORACE") == "" {
				env.Setenv("GORACE", "atexit_sleep_ms=10")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"box": scriptBox, "ends": scriptEnds, "spoil": scriptSpoil, "lose": scriptLose, "upstream": scriptUpstream,
		},
	})
}

type (
	upstreamKey struct{} // *upstreamtest.Server
	runningKey  struct{} // *running
)

// running is the box that a script has started; nil until then.
type running struct{ *box }

func scriptBox(ts *testscript.TestScript, negated bool, args []string) {
	now := ts.Value(runningKey{}).(*running)
	switch {
	case negated || len(args) == 0:
		ts.Fatalf("usage: box start [argument...] | box stop")
	case args[0] == "start":
		c := exec.Command(program(), append([]string{"serve", "--listen", "127.0.0.1:0"}, args[1:]...)...)
		c.Dir = ts.MkAbs(".")
		c.Env = environment("CHEESEBOARD_UPSTREAM_URL=" + ts.Getenv("UPSTREAM"))
		started, err := start(c)
		ts.Check(err)
		ts.Defer(started.kill)
		ts.Check(started.ready())
		now.box = started
		ts.Setenv("BOX", started.index())
	case args[0] == "stop" && now.box != nil:
		took, status, err := now.signal(syscall.SIGTERM)
		ts.Check(err)
		if status != 0 || took > promptly {
			ts.Fatalf("the box ended with status %d in %v", status, took)
		}
	default:
		ts.Fatalf("box %s: unknown", args[0])
	}
}

func scriptEnds(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		ts.Fatalf("usage: ends status program [argument...]")
	}
	status := 0
	var ended *exec.ExitError
	err := ts.Exec(args[1], args[2:]...)
	if errors.As(err, &ended) {
		status = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%v ended with status %d, want %s", args[1:], status, args[0])
	}
}

// storedPath is where the bytes of a file of the upstream lie in the data folder.
func storedPath(ts *testscript.TestScript, filename string) string {
	content, ok := ts.Value(upstreamKey{}).(*upstreamtest.Server).Index.Content(filename)
	if !ok {
		ts.Fatalf("upstream has no %s", filename)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	return ts.MkAbs(filepath.Join("cheeseboard-data", "blobs", digest[:2], digest))
}

func scriptSpoil(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: spoil filename")
	}
	path := storedPath(ts, args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	content[len(content)/2] ^= 1
	ts.Check(os.Chmod(path, 0o644))
	ts.Check(os.WriteFile(path, content, 0o644))
	ts.Check(os.Chmod(path, 0o444))
}

func scriptLose(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) != 1 {
		ts.Fatalf("usage: lose filename")
	}
	ts.Check(os.Remove(storedPath(ts, args[0])))
}

func scriptUpstream(ts *testscript.TestScript, negated bool, args []string) {
	if negated {
		ts.Fatalf("upstream cannot be negated")
	}
	ts.Check(control(ts.Value(upstreamKey{}).(*upstreamtest.Server), args))
}

// control carries out one upstream command of a script.
func control(server *upstreamtest.Server, args []string) error {
	verb := strings.Join(args[:min(1, len(args))], "")
	switch {
	case verb == "truth" && len(args) == 1:
		server.Truth()
		return nil
	case verb == "forget" && len(args) == 1:
		server.Forget()
		return nil
	case verb == "kill" && len(args) == 1:
		return server.Kill()
	case verb == "revive" && len(args) == 1:
		return server.Revive()
	case verb == "lie" && (len(args) == 3 || len(args) == 4):
		return tell(server, args[1:])
	case verb == "asked" && len(args) == 3:
		target, err := upstreamtest.ParseTarget(args[2])
		if asked := server.Requests().On(target); err == nil && strconv.Itoa(len(asked)) != args[1] {
			err = fmt.Errorf("upstream was asked for %v: %v", target, asked)
		}
		return err
	}
	return fmt.Errorf("upstream %v: unknown", args)
}

// tell reads a target, a lie and how often it is told; without that, for ever.
func tell(server *upstreamtest.Server, args []string) error {
	target, err := upstreamtest.ParseTarget(args[0])
	if err != nil {
		return err
	}
	lie, err := upstreamtest.ParseLie(args[1])
	if err != nil {
		return err
	}
	times := 0
	if len(args) == 3 {
		if times, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
	}
	server.Tell(target, lie, times)
	return nil
}
