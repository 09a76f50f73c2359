package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// interruption is one way of ending the program.
type interruption struct {
	signal   syscall.Signal
	statuses map[string]int // by command; the program ends with exactly these
}

var interruptions = []interruption{
	{syscall.SIGTERM, map[string]int{"sync": notDone, "serve": 0}},
	{syscall.SIGINT, map[string]int{"sync": notDone, "serve": 0}},
	{syscall.SIGKILL, map[string]int{"sync": -1, "serve": -1}},
}

// TestInterrupted ends the program in the middle of a download, in every way, and
// starts it again: it goes on where it stopped.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, how := range interruptions {
		for verb, status := range how.statuses {
			t.Run(fmt.Sprintf("%s/%v", verb, how.signal), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, nil, `sync.projects=["stilton"]`)
				s.upstream.SetBandwidth(mebi)
				c := exec.Command(program(), s.args(verb)...)
				if verb == "serve" {
					c.Args = append(c.Args, "--listen", "127.0.0.1:0")
				}
				end(t, s, launch(t, c), how.signal, status)
				s.upstream.SetBandwidth(0)
				goesOn(t, s)
			})
		}
	}
}

// end waits for a part of the file, sends the signal and checks how it is obeyed.
func end(t *testing.T, s *site, b *box, signal os.Signal, want int) {
	t.Helper()
	arrived(t, s, stilton, mebi)
	took, status, err := b.signal(signal)
	if err != nil || took > promptly || status != want {
		t.Errorf("after %v it ended with status %d in %v (%v), want status %d within %v", signal, status, took, err, want, promptly)
	}
}

// goesOn checks what an interruption has left, and that a sync goes on with it.
func goesOn(t *testing.T, s *site) {
	t.Helper()
	s.sound()
	if o := s.succeed("status"); !strings.Contains(o.stdout, "they go on where they stopped") {
		t.Errorf("status does not tell of the part that is here:\n%s", o.stdout)
	}
	before := s.upstream.Requests().On(upstreamtest.OnFile(stilton)).Body()
	s.succeed("sync")
	s.sound()
	asked := s.upstream.Requests().On(upstreamtest.OnFile(stilton))
	if ranges := asked.Ranges(); len(ranges) != 2 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") {
		t.Fatalf("the file was asked for with the ranges %q, want once as a whole and once from where it stopped", ranges)
	}
	content, _ := s.upstream.Index.Content(stilton)
	// What stood in the buffers of the connection is lost and comes twice.
	if twice := asked.Body() - int64(len(content)); twice > before/2 {
		t.Errorf("%d of the %d bytes that had come were sent again", twice, before)
	}
	if o := s.succeed("status"); strings.Contains(o.stdout, "arriving") {
		t.Errorf("something is left over:\n%s", o.stdout)
	}
}

// TestStopWhileClientLoads ends a box while a client takes a file that arrives:
// the client sees a broken connection, never a file that seems to be whole.
func TestStopWhileClientLoads(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.serve()
	p, err := readPage(t.Context(), b.index()+"stilton/", formJSON)
	must(t, err)
	s.upstream.SetBandwidth(mebi / 2)
	address := ""
	for _, o := range p.offers {
		if o.filename == stilton {
			address = o.url
		}
	}
	type loaded struct {
		answer
		err error
	}
	client := make(chan loaded, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		a, err := ask(ctx, address, "")
		client <- loaded{a, err}
	}()
	end(t, s, b, syscall.SIGTERM, 0)
	got := <-client
	if got.err == nil && got.status == http.StatusOK {
		t.Errorf("the client took %d bytes for the whole file", len(got.body))
	}
	s.upstream.SetBandwidth(0)
	s.settings = []string{`sync.projects=["stilton"]`}
	goesOn(t, s)
}
