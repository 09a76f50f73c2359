package hardship

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// smallDisk mounts a file system of its own, of some MB.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes))
	if err != nil {
		t.Skipf("a small file system cannot be mounted here: %v (it needs root)", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// stuff fills a file system to the last byte; what it gives makes room again.
func stuff(t testing.TB, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "stuffing")
	f, err := os.Create(path)
	must(t, err)
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	must(t, f.Close())
	return func() { must(t, os.Remove(path)) }
}

// TestDiskFillsUp: in the middle of a sync the disk becomes full to its last
// byte. The sync says so and ends, all that is here is served, and once there is
// room the next one goes on where this one stopped.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 160)
	index, projects := village(t, 5)
	for i := range 5 {
		name := fmt.Sprintf("barn-%d", i)
		_, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: "1.0", Payload: 9 << 20})
		must(t, err)
	}
	up := upstream(t, index)
	c := settings(t, up, projects...)
	c.Data = filepath.Join(disk, "data")
	b := open(t, c)
	b.synced()
	b.close()

	c.Sync.Projects = append(projects, "barn-0", "barn-1", "barn-2", "barn-3", "barn-4")
	b = open(t, c)
	up.SetBandwidth(24 << 20)
	barns := upstreamtest.OnFile("barn*")
	ended := make(chan error, 1)
	go func() { ended <- b.Sync(timeout(t), app.SyncOptions{}, func(app.Event) {}) }()
	must(t, up.Wait(timeout(t), func(all upstreamtest.Requests) bool { return all.On(barns).Body() > 22<<20 }))
	empty := stuff(t, disk)
	err := <-ended
	if !errors.Is(err, syncer.ErrFull) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("the sync has ended with %v", err)
	}
	b.servesWhileFull(index, projects)
	kept := look(t, c.Data, leavings{})
	if len(kept.synced) == 0 {
		t.Error("nothing was kept of the files that were arriving")
	}
	empty()

	up.SetBandwidth(0)
	seen := len(up.Requests())
	b.synced()
	k := &killer{t: t, paths: pathsOf(index)}
	k.compare(kept, up.Requests()[seen:])
	for _, project := range c.Sync.Projects {
		b.honest(index, project)
		if got := len(b.holdings(project)); got != 2 {
			t.Errorf("of %s %d blobs are here", project, got)
		}
	}
	b.sound()
}

// servesWhileFull checks that a full disk is a clear state, not a broken one.
func (b *box) servesWhileFull(x *upstreamtest.Index, projects []string) {
	b.Helper()
	b.sound()
	for _, project := range projects {
		p := b.page(project)
		if f := p.file(wheelOf(project)); f.name == "" {
			b.Errorf("the page of %s: %v", project, p)
		} else if a := b.get(f.url); !a.whole() || digestOf(a.body) != truth(x, f.name) {
			b.Errorf("the file of %s: %v", project, a)
		}
	}
	if a := b.get("/healthz"); a.status != 200 {
		b.Errorf("healthz is %v: %s", a, a.body)
	}
	s, err := b.Status()
	if err != nil || s.Health.Severity != health.Attention || s.Health.Action == "" {
		b.Errorf("the status is %+v, %v", s.Health, err)
	}
	// What is not here cannot be had now, and the client is told so.
	p := b.page("barn-4")
	if p.status >= 500 && p.status != 503 {
		b.Errorf("the page of a project that is not here: %v", p)
	}
	for _, f := range p.files {
		if a := b.get(f.url); a.status >= 500 && a.status != 503 || a.whole() && digestOf(a.body) != truth(x, f.name) {
			b.Errorf("a file that is not here: %v", a)
		}
	}
}

// TestReserve: what must stay free stays free, and that is not the end of serving.
func TestReserve(t *testing.T) {
	t.Parallel()
	index, projects := village(t, 4)
	up := upstream(t, index)
	c := settings(t, up, projects[:3]...)
	b := open(t, c)
	b.synced()
	b.close()
	c.Storage.Reserve = config.Size(1 << 50)
	c.Sync.Projects = projects
	b = open(t, c)
	_, err := b.sync()
	if !errors.Is(err, syncer.ErrFull) || !strings.Contains(err.Error(), "storage.reserve") {
		t.Errorf("the sync has ended with %v", err)
	}
	b.servesWhileFull(index, projects[:3])
	b.close()
	c.Storage.Reserve = 0
	b = open(t, c)
	b.synced()
	b.honest(index, projects[3])
	if len(b.holdings(projects[3])) != 2 {
		t.Errorf("of %s there are here %v", projects[3], b.holdings(projects[3]))
	}
}
