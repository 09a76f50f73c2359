package hardship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/storage"
	"cheeseboard/syncer/upstreamtest"
)

// kills is how often a sync is killed.
func kills() int {
	switch {
	case testing.Short():
		return 3
	case os.Getenv("CHEESEBOARD_TEST_LONG") == "1":
		return 200
	}
	return 25
}

// TestKilledSync ends `cheeseboard sync` with SIGKILL at random moments, again
// and again. After each, verify finds nothing; the next sync asks for no byte
// that was synced, nor for a file that was whole; in the end everything is here.
func TestKilledSync(t *testing.T) {
	t.Parallel()
	index, projects := larder(t)
	up := upstream(t, index)
	k := &killer{t: t, up: up, random: rand.New(rand.NewPCG(7, 11)), paths: pathsOf(index), left: kills()}
	rounds := 0
	for ; k.left > 0; rounds++ {
		up.Truth()
		up.SetBandwidth(14 << 20)
		// The line breaks as well, at places that have nothing to do with the kills.
		up.Tell(upstreamtest.OnFile("larder-0-*"), upstreamtest.CutAfter(2_500_000), 0)
		up.Tell(upstreamtest.OnFile("larder-1-*"), upstreamtest.CutConnectionAfter(1_000_000), 5)
		up.Tell(upstreamtest.OnPage("crumb-1*"), upstreamtest.Status(503, "0"), 1)
		c := settings(t, up, projects...)
		k.round(c)
		complete(t, c.Data, index, projects)
	}
	var payload int64
	for _, p := range projects {
		for _, name := range index.Filenames(p) {
			content, _ := index.Content(name)
			payload += int64(len(content))
		}
	}
	sent := up.Requests().On(upstreamtest.OnFile("*")).Body()
	t.Logf("%d kills in %d syncs, %d of them before the first request, %d with files under way (%.1f MB, %.1f MB of it synced)",
		kills()-k.left, rounds, k.early, k.midway, float64(k.kept)/1e6, float64(k.synced)/1e6)
	t.Logf("sent over the line: %.1f MB of files for %.1f MB of payload, ratio %.3f",
		float64(sent)/1e6, float64(payload*int64(rounds))/1e6, float64(sent)/float64(payload*int64(rounds)))
	if !testing.Short() && k.synced == 0 {
		t.Error("no kill met a file of which bytes were synced: the test proves nothing")
	}
}

// larder is an index with a few large files and many small ones.
func larder(t testing.TB) (*upstreamtest.Index, []string) {
	t.Helper()
	index := upstreamtest.NewIndex()
	var projects []string
	add := func(name string, payload int) {
		_, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: "1.0", Payload: payload})
		must(t, err)
		projects = append(projects, name)
	}
	for i, megabytes := range []int{9, 7, 5, 5} {
		add(fmt.Sprintf("larder-%d", i), megabytes<<20)
	}
	for i := range 30 {
		add(fmt.Sprintf("crumb-%d", i), i*3000)
	}
	return index, projects
}

// pathsOf maps the digest of every blob that an index can give to its path.
func pathsOf(x *upstreamtest.Index) map[string]string {
	paths := make(map[string]string)
	for _, project := range x.Projects() {
		for _, name := range x.Filenames(string(project)) {
			if content, ok := x.Content(name); ok {
				paths[digestOf(content)] = x.Path(name)
			}
			if metadata, ok := x.Metadata(name); ok {
				paths[digestOf(metadata)] = x.Path(name) + ".metadata"
			}
		}
	}
	return paths
}

// killer kills syncs, and holds each against what the one before had left.
type killer struct {
	t      *testing.T
	up     *upstreamtest.Server
	random *rand.Rand
	paths  map[string]string
	left   int
	early  int   // kills before the first request
	midway int   // kills that left a partial with bytes
	kept   int64 // bytes of the partials that the kills left
	synced int64 // of them, those that were synced
}

// round syncs one new folder, killed until it is through or no kill is left.
func (k *killer) round(c app.Config) {
	before := leavings{}
	for {
		seen := len(k.up.Requests())
		p := start(k.t, c, "sync")
		killed := false
		if k.left > 0 {
			k.await(p, seen)
			killed = p.kill()
		}
		p.finishedOrKilled(k.t, killed)
		requests := k.up.Requests()[seen:]
		k.compare(before, requests)
		if !killed {
			return
		}
		k.left--
		if len(requests) == 0 {
			k.early++
		}
		after := look(k.t, c.Data, before)
		for digest, size := range after.size {
			k.kept += size
			k.synced += after.synced[digest]
		}
		if len(after.size) > 0 {
			k.midway++
		}
		before = after
		if _, err := os.Stat(filepath.Join(c.Data, "FORMAT")); errors.Is(err, fs.ErrNotExist) && len(requests) == 0 {
			continue // not even the folder has begun
		}
		start(k.t, c, "verify", "--restart").finished(k.t)
		if k.t.Failed() {
			k.t.FailNow()
		}
	}
}

// finishedOrKilled checks that a sync that was not killed has succeeded.
func (p *process) finishedOrKilled(t testing.TB, killed bool) {
	t.Helper()
	if !killed {
		p.finished(t)
	}
}

// await waits for the moment of the next kill.
func (k *killer) await(p *process, seen int) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		select {
		case <-p.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	most := 700 * time.Millisecond
	var reached func(upstreamtest.Requests) bool
	switch k.random.IntN(6) {
	case 0: // while the store is opened, and what the last kill left is recovered
		most = 30 * time.Millisecond
	case 1: // at any time
	case 2, 3: // in the middle of files
		bytes := k.random.Int64N(12 << 20)
		reached = func(files upstreamtest.Requests) bool { return files.Body() >= bytes }
		most = 25 * time.Millisecond
	default: // close to the end of a file, when it is recorded
		n := 1 + k.random.IntN(30)
		reached = func(files upstreamtest.Requests) bool {
			done := 0
			for _, r := range files {
				if r.Done {
					done++
				}
			}
			return done >= n
		}
		most = 25 * time.Millisecond
	}
	if reached != nil && k.up.Wait(ctx, func(all upstreamtest.Requests) bool {
		return reached(all[seen:].On(upstreamtest.OnFile("*")))
	}) != nil {
		return // it ended before
	}
	delay := time.Duration(k.random.Int64N(int64(most)))
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ended:
	}
}

// leavings is what a kill has left on the disk, by digest.
type leavings struct {
	whole  map[string]bool
	synced map[string]int64 // of each partial: bytes that its state file speaks for
	size   map[string]int64 // of each partial: all bytes, which survive since the kernel does
}

// look reads the data folder of a process that is dead.
func look(t testing.TB, data string, before leavings) leavings {
	t.Helper()
	l := leavings{make(map[string]bool), make(map[string]int64), make(map[string]int64)}
	blobs, err := filepath.Glob(filepath.Join(data, "blobs", "*", "*"))
	must(t, err)
	for _, path := range blobs {
		l.whole[filepath.Base(path)] = true
	}
	partials, err := filepath.Glob(filepath.Join(data, "partial", "*.part"))
	must(t, err)
	for _, path := range partials {
		digest := strings.TrimSuffix(filepath.Base(path), ".part")
		info, err := os.Stat(path)
		must(t, err)
		if info.Size() == 0 {
			continue
		}
		raw, err := os.ReadFile(strings.TrimSuffix(path, ".part") + ".state")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		var state struct{ Synced int64 }
		if err := json.Unmarshal(raw, &state); err != nil {
			t.Errorf("the state of %s, which has %d bytes, cannot be read: %v: %q", digest, info.Size(), err, raw)
		}
		l.size[digest], l.synced[digest] = info.Size(), state.Synced
	}
	for digest, synced := range before.synced {
		if !l.whole[digest] && l.synced[digest] < synced {
			t.Errorf("%d bytes of %s were synced before, now %d are", synced, digest, l.synced[digest])
		}
	}
	for digest := range before.whole {
		if !l.whole[digest] {
			t.Errorf("%s was whole, now it is gone", digest)
		}
	}
	return l
}

// compare holds the requests of a run against what the run before had left.
func (k *killer) compare(before leavings, requests upstreamtest.Requests) {
	k.t.Helper()
	first := make(map[string]upstreamtest.Request)
	for _, r := range requests {
		if _, ok := first[r.Path]; !ok {
			first[r.Path] = r
		}
	}
	for digest := range before.whole {
		if r, asked := first[k.paths[digest]]; asked {
			k.t.Errorf("%s was whole, and was asked for again: %v", digest, r)
		}
	}
	for digest, size := range before.size {
		r, asked := first[k.paths[digest]]
		if !asked {
			continue // killed before it came to that, or it was whole and had only to be named
		}
		var offset int64
		if r.Range != "" {
			if _, err := fmt.Sscanf(r.Range, "bytes=%d-", &offset); err != nil {
				k.t.Errorf("range %q: %v", r.Range, err)
			}
		}
		if offset < size {
			k.t.Errorf("%d bytes of %s were here, %d of them synced, and it was asked for from %d on: %v", size, digest, before.synced[digest], offset, r)
		}
	}
}

// complete checks that a folder holds the newest file of each project, and no
// other, with the upstream's bytes.
func complete(t testing.TB, data string, x *upstreamtest.Index, projects []string) {
	t.Helper()
	s, err := storage.Open(data, storage.Options{Reserve: -1})
	must(t, err)
	defer func() { check(t, s.Close()) }()
	sound(t, s)
	b := &box{App: &app.App{}, TB: t}
	b.Store = s
	for _, project := range projects {
		b.honest(x, project)
		if got := len(b.holdings(project)); got != 2 {
			t.Errorf("%s: %d blobs are here, want the wheel and its metadata", project, got)
		}
	}
	waiting, err := s.Waiting()
	if err != nil || len(waiting) > 0 {
		t.Errorf("partials are left: %v, %v", waiting, err)
	}
}
