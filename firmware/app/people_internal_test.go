package app

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"cheeseboard/httpd/webui"
	"cheeseboard/storage/pypi"
)

// TestGathering sorts files by version, the newest first and those without a version last,
// and keeps those of one version as they came.
func TestGathering(t *testing.T) {
	g := newGathering("brie")
	want := []string{}
	for i := 29; i >= 0; i-- {
		for _, kind := range []string{"py3-none-any.whl", "cp313-cp313-win_amd64.whl"} {
			want = append(want, fmt.Sprintf("brie-1.%d-%s", i, kind))
		}
	}
	want = append(want, "brie.whl")
	names := slices.Clone(want)
	rand.Shuffle(len(names)/2, func(i, j int) { // in pairs
		names[2*i], names[2*i+1], names[2*j], names[2*j+1] = names[2*j], names[2*j+1], names[2*i], names[2*i+1]
	})
	for _, name := range names {
		v := g.version(&pypi.File{Filename: name}, true)
		g.files = append(g.files, gatheredFile{v, webui.ProjectFile{Name: name}})
	}
	var p webui.Project
	g.into(&p)
	got := []string{}
	for _, f := range p.Files {
		got = append(got, f.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(p.Versions) != 30 || p.Versions[0].Version != "1.29" || p.Versions[0].Here != 2 || p.MoreFiles != 0 {
		t.Errorf("%+v", p)
	}
}
