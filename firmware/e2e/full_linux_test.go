package e2e

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// TestStartsOnAFullDisk starts the program on a disk without a free byte, kills it
// there, starts it again, and ends it: what is here is served each time, the status
// says what to do, and with room again it goes on without a restart.
func TestStartsOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, selection, "storage.reserve=0")
	s.smallDisk()
	s.succeed("sync")
	b := s.serve()
	remove := s.fill()
	b.kill() // with what it has in memory, and a log that nobody has cut
	serves := func(b *box) {
		t.Helper()
		for project, filenames := range here {
			p, err := readPage(t.Context(), b.index()+project+"/", formJSON)
			if err != nil || p.status != http.StatusOK {
				t.Errorf("%s: status %d, %v", project, p.status, err)
			}
			for _, o := range p.offers {
				if o.filename == filenames[0] {
					if err := o.check(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		}
		refused(t, b.index()+"camembert/", patience, http.StatusNotFound, http.StatusServiceUnavailable)
		refused(t, absentFile(t, b, s), patience, http.StatusNotFound, http.StatusServiceUnavailable)
		o := s.succeed("status")
		if !strings.Contains(o.stdout, "attention: the disk is full") || !strings.Contains(o.stdout, "make room on the disk") || !strings.Contains(o.stdout, "serving since") {
			t.Errorf("the status of a box on a full disk:\n%s", o.stdout)
		}
		complains(t, s.run("sync"), notDone, "full", "make room")
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		b = s.serve()
		serves(b)
		took, status, err := b.signal(signal)
		must(t, err)
		if signal == syscall.SIGTERM && (status != 0 || took > promptly) {
			t.Errorf("on a full disk the box ends with status %d after %v", status, took)
		}
	}
	b = s.serve()
	serves(b)
	remove()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, until(ctx, func() (bool, error) {
		p, err := readPage(t.Context(), b.index()+"camembert/", formJSON)
		return err == nil && p.status == http.StatusOK, nil // while it opens its folder anew it is away
	}))
	if o := s.succeed("status"); strings.Contains(o.stdout, "disk is full") {
		t.Errorf("with room again the status is\n%s", o.stdout)
	}
	s.succeed("sync")
	b.quit()
	s.sound()
	if n := len(s.upstream.Requests().On(upstreamtest.OnPage("camembert"))); n == 0 {
		t.Error("with room again nothing was asked of the upstream")
	}
}
