package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// diskSize is that of the small disks on which these tests put a data folder.
const diskSize = 96 * mebi

// smallDisk mounts a disk of its own for the data folder.
func (s *site) smallDisk() {
	s.t.Helper()
	disk := s.t.TempDir()
	err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize))
	if errors.Is(err, syscall.EPERM) {
		s.t.Skip("this user may not mount a small disk")
	}
	must(s.t, err)
	s.t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			s.t.Errorf("unmount the small disk: %v", err)
		}
	})
	s.data = filepath.Join(disk, "data")
}

// remount changes whether the small disk can be written to. A child that another test is
// just starting may have a file there open still.
func (s *site) remount(flags uintptr) {
	s.t.Helper()
	for began := time.Now(); ; {
		err := syscall.Mount("", filepath.Dir(s.data), "", syscall.MS_REMOUNT|flags, "")
		if !errors.Is(err, syscall.EBUSY) || time.Since(began) > patience {
			must(s.t, err)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// fill writes until the disk has no space at all, and gives what makes room again.
func (s *site) fill() (remove func()) {
	s.t.Helper()
	path := filepath.Join(filepath.Dir(s.data), "ballast")
	f, err := os.Create(path)
	must(s.t, err)
	for block := make([]byte, mebi); len(block) > 0; {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2] // to the last byte
		} else {
			must(s.t, err)
		}
	}
	must(s.t, f.Close())
	return func() { must(s.t, os.Remove(path)) }
}

// TestReserveBeyondDisk asks for more free space than the disk has.
func TestReserveBeyondDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, selection)
	s.smallDisk()
	s.settings = append(s.settings, "storage.reserve=1GB")
	complains(t, s.run("sync"), notDone, "disk is full", "storage.reserve", "make room")
	if o := s.succeed("status"); !strings.Contains(o.stdout, "full") || !strings.Contains(o.stdout, "make room") {
		t.Errorf("status does not say that the disk is full:\n%s", o.stdout)
	}
	if n := len(s.upstream.Requests().On(upstreamtest.OnFile("*"))); n != 0 {
		t.Errorf("%d files were asked for although there is no room for them", n)
	}
	s.sound()
	s.settings = []string{selection, "storage.reserve=1MB"}
	s.succeed("sync")
	s.sound()
}

// TestSelectionBeyondDisk selects more than the disk can hold: what fits is here
// and is served, and the box says what is the matter.
func TestSelectionBeyondDisk(t *testing.T) {
	t.Parallel()
	index := upstreamtest.NewIndex()
	var wanted []string
	for i := range 8 {
		name := fmt.Sprintf("wheel%d", i)
		_, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: "1.0", Payload: 10 * mebi, Seed: uint64(i)})
		must(t, err)
		wanted = append(wanted, name)
	}
	s := newSite(t, index, `sync.projects=["`+strings.Join(wanted, `", "`)+`"]`, "storage.reserve=16MB")
	s.smallDisk()
	complains(t, s.run("sync"), notDone, "disk is full", "make room")
	s.sound()

	must(t, s.upstream.Kill())
	b := s.serve()
	files := 0
	for _, name := range wanted {
		p, err := readPage(t.Context(), b.index()+name+"/", formJSON)
		if err != nil || p.status != http.StatusOK && p.status != http.StatusNotFound {
			t.Errorf("%s: status %d, %v", name, p.status, err)
		}
		for _, o := range p.offers {
			files++
			if err := o.check(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	if files == 0 || files == len(wanted) {
		t.Errorf("%d of %d files are here", files, len(wanted))
	}
	b.quit()
	s.sound()
}

// TestDiskFillsUp takes all space away while a file arrives.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, `sync.projects=["stilton"]`, "storage.reserve=0")
	s.smallDisk()
	s.upstream.SetBandwidth(mebi)
	sync := launch(t, exec.Command(program(), s.args("sync")...))
	arrived(t, s, stilton, mebi)
	remove := s.fill()
	<-sync.ended
	o := outcome{status: sync.command.ProcessState.ExitCode(), stdout: sync.stdout.String(), stderr: sync.stderr.String()}
	complains(t, o, notDone, "disk is full", "make room")
	complains(t, s.run("sync"), notDone, "full", "make room")
	if o := s.succeed("status"); !strings.Contains(o.stdout, "the disk is full") || !strings.Contains(o.stdout, "make room") {
		t.Errorf("status on a full disk says\n%s", o.stdout)
	}
	s.succeed("verify")
	remove()
	s.sound()
	s.upstream.SetBandwidth(0)
	s.succeed("sync")
	s.sound()
	asked := s.upstream.Requests().On(upstreamtest.OnFile(stilton))
	if ranges := asked.Ranges(); len(ranges) != 2 || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("the file was asked for with the ranges %q, want once from its beginning and once from where it stopped", ranges)
	}
}

// TestFullDiskServes takes all space away under a box that serves: what is here
// is served on, what is not is refused with the reason, and it stops well.
func TestFullDiskServes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, selection, "storage.reserve=0")
	s.smallDisk()
	s.succeed("sync")
	b := s.serve()
	remove := s.fill()
	for project, filenames := range here {
		p, err := readPage(t.Context(), b.index()+project+"/", formHTML)
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
	remove()
	p, err := readPage(t.Context(), b.index()+"camembert/", formJSON)
	if err != nil || p.status != http.StatusOK {
		t.Errorf("with room again, camembert gives status %d (%v): %s", p.status, err, p.body)
	}

	remove = s.fill()
	_, status, err := b.signal(syscall.SIGTERM)
	must(t, err)
	if status != 0 {
		complains(t, outcome{status: status, stderr: b.stderr.String()}, notDone, "disk is full")
	}
	remove()
	s.sound()
}

// TestReadOnlyDisk has the disk read-only, as a card is at the end of its life: what is
// here is served, by a box that starts anew and after one that was killed; what would
// store anything says why it cannot; and nothing is touched.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, selection, "storage.reserve=1MB")
	s.smallDisk()
	s.succeed("sync")
	killed := s.serve()
	killed.kill()
	must(t, s.upstream.Kill())
	s.remount(syscall.MS_RDONLY)
	untouched(t, s.data, func() {
		for range 2 {
			complains(t, s.run("sync"), notDone, "can only be read", "another one")
			s.succeed("verify")
			if o := s.succeed("status"); !strings.Contains(o.stdout, "can only be read") {
				t.Errorf("status does not say that the disk can only be read:\n%s", o.stdout)
			}
			b := s.serve()
			for _, name := range []string{"parmesan", "cheddar"} {
				p, err := readPage(t.Context(), b.index()+name+"/", formJSON)
				if err != nil || p.status != http.StatusOK || len(p.offers) == 0 {
					t.Errorf("%s: status %d, %d files, %v", name, p.status, len(p.offers), err)
				}
				for _, o := range p.offers {
					if err := o.check(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
			b.quit()
		}
	})
	s.remount(0)
	s.sound()
}
