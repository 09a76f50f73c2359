package hardship

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/syncer/upstreamtest"
)

// world is a small index that grows as a seed has it, and what a box wants of it.
type world struct {
	testing.TB
	random   *rand.Rand
	index    *upstreamtest.Index
	projects []string
	versions map[string]int // releases so far
	gone     map[string]bool
	hidden   map[string]bool // in quarantine
	leaf     string          // a project that needs nothing and stays as it is
	room     int             // bytes of filler that may still be added
}

// newWorld draws an index of a few projects that need one another.
func newWorld(t testing.TB, random *rand.Rand) *world {
	w := &world{
		TB: t, random: random, index: upstreamtest.NewIndex(), room: 5 << 20,
		versions: make(map[string]int), gone: make(map[string]bool), hidden: make(map[string]bool), leaf: "dairy-0",
	}
	for range 5 + random.IntN(8) {
		name := fmt.Sprintf("dairy-%d", len(w.projects))
		w.projects = append(w.projects, name)
		if name == w.leaf {
			_, err := w.index.AddWheel(upstreamtest.Wheel{Name: name, Version: "1.0", Payload: 2000 + random.IntN(200_000)})
			must(t, err)
			continue
		}
		for range 1 + random.IntN(3) {
			w.release(name)
		}
	}
	return w
}

// size draws the length of a file between 1 KB and 2 MB, small ones more often.
func (w *world) size() int {
	n := int(1000 * math.Pow(2000, w.random.Float64()))
	n = min(n, w.room)
	w.room -= n
	return n
}

// release adds a release to a project: wheels, an sdist, or both.
func (w *world) release(name string) {
	w.Helper()
	version := fmt.Sprintf("%d.%d", 1+w.versions[name]/2, w.versions[name]%2)
	if w.random.IntN(12) == 0 {
		version += "rc1"
	}
	w.versions[name]++
	wheel := upstreamtest.Wheel{Name: name, Version: version, Requires: w.needs(name), Extras: []string{"aged"}, Payload: w.size()}
	switch w.random.IntN(6) {
	case 0:
		wheel.RequiresPython = ">=3.13"
	case 1:
		wheel.RequiresPython = ">=3.8"
	}
	kind := w.random.IntN(8)
	if kind != 0 {
		if kind == 1 {
			wheel.Tags = "cp312-cp312-manylinux_2_17_x86_64"
		}
		_, err := w.index.AddWheel(wheel)
		must(w, err)
	}
	if kind == 1 {
		wheel.Tags, wheel.Payload = "cp312-cp312-win_amd64", w.size()
		_, err := w.index.AddWheel(wheel)
		must(w, err)
	}
	if kind == 0 || w.random.IntN(4) == 0 {
		_, err := w.index.AddSdist(upstreamtest.Sdist{Name: name, Version: version, Payload: w.size()})
		must(w, err)
	}
	if w.random.IntN(8) == 0 {
		w.yank(name)
	}
}

// needs draws what a project needs: of those before it, so that there is an end.
func (w *world) needs(name string) []string {
	var out []string
	for _, other := range w.projects {
		if other == name {
			break
		}
		switch w.random.IntN(12) {
		case 0:
			out = append(out, other)
		case 1:
			out = append(out, other+">=1.0")
		case 2:
			out = append(out, other+`[aged]; python_version >= "3.9"`)
		case 3:
			out = append(out, other+`; extra == "aged"`)
		case 4:
			out = append(out, other+`; sys_platform == "win32"`)
		}
	}
	return out
}

// yank turns the mark of one file over.
func (w *world) yank(name string) {
	names := w.index.Filenames(name)
	if len(names) == 0 {
		return
	}
	one := names[w.random.IntN(len(names))]
	if w.random.IntN(3) == 0 {
		must(w, w.index.Unyank(name, one))
		return
	}
	must(w, w.index.Yank(name, one, "it smells"))
}

// change makes one change of the index, and says which.
func (w *world) change() string {
	name := w.projects[w.random.IntN(len(w.projects))]
	if name == w.leaf || w.gone[name] {
		name = fmt.Sprintf("dairy-%d", len(w.projects))
		w.projects = append(w.projects, name)
		w.release(name)
		return "new " + name
	}
	switch w.random.IntN(10) {
	case 0:
		if files := w.index.Filenames(name); len(files) > 0 {
			one := files[w.random.IntN(len(files))]
			must(w, w.index.RemoveFile(name, one))
			return "remove " + one
		}
	case 1:
		must(w, w.index.RemoveProject(name))
		w.gone[name] = true
		return "remove " + name
	case 2, 3:
		w.yank(name)
		return "yank or unyank in " + name
	case 4:
		must(w, w.index.SetStatus(name, "quarantined", "malware"))
		w.hidden[name] = true
		return "quarantine " + name
	case 5:
		must(w, w.index.SetStatus(name, "archived", "")) // of which no feed tells
		w.hidden[name] = false
		w.release(name)
		return "archive " + name + ", after a last release"
	}
	w.release(name)
	return "release of " + name
}

// wants draws a configuration: what is selected, and how the line may be used.
func (w *world) wants(up string) app.Config {
	r := w.random
	c := app.DefaultConfig()
	c.Upstream.URL = up
	for _, name := range w.projects {
		if name != w.leaf && r.IntN(2) == 0 {
			continue
		}
		switch r.IntN(6) {
		case 0:
			name += "[aged]"
		case 1:
			name += "<2"
		}
		if strings.HasPrefix(name, w.leaf) {
			name = w.leaf
		}
		c.Sync.Projects = append(c.Sync.Projects, name)
	}
	c.Sync.Python = []string{"3.12"}
	c.Sync.Platforms = []string{"any", "linux-x86_64"}
	c.Sync.Latest = r.IntN(3)
	c.Sync.SDists = []config.SDistPolicy{config.SDistsWhenNoWheel, config.SDistsAlways, config.SDistsNever}[r.IntN(3)]
	c.Sync.Connections = 1 + r.IntN(8)
	c.Sync.Interval = config.Duration(time.Hour)
	c.Line.Rate = config.Size([]int64{0, 0, 2 << 20, 8 << 20}[r.IntN(4)])
	c.Pull.Enabled = r.IntN(4) > 0
	c.Pull.Fresh = config.Duration([]time.Duration{0, time.Hour}[r.IntN(2)])
	c.Pull.Wait = config.Duration(time.Duration(100+r.IntN(1000)) * time.Millisecond)
	c.Storage.Reserve = 0
	return c
}

// dialect draws what the upstream lacks; mostly nothing.
func (w *world) dialect() upstreamtest.Dialect {
	r := w.random
	d := upstreamtest.Dialect{NoMetadata: r.IntN(4) == 0, RelativeURLs: r.IntN(6) == 0, NoFeed: r.IntN(4) == 0}
	switch r.IntN(8) {
	case 0:
		d.HTMLOnly = true
	case 1:
		d.NoSerials, d.NoFeed = true, true
	case 2:
		d.NoGzip = true
	}
	return d
}
