package hardship

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// dialects are the upstreams that lack something and do not lie.
var dialects = []struct {
	name    string
	dialect upstreamtest.Dialect
	split   bool
}{
	{"as PyPI", upstreamtest.Dialect{}, false},
	{"files on another port", upstreamtest.Dialect{}, true},
	{"no metadata", upstreamtest.Dialect{NoMetadata: true}, false},
	{"HTML only", upstreamtest.Dialect{HTMLOnly: true}, false},
	{"bare", upstreamtest.Dialect{Bare: true, NoSerials: true}, false},
	{"a static tree", upstreamtest.Dialect{
		HTMLOnly: true, Bare: true, NoSerials: true, NoMetadata: true, NoValidators: true, NoGzip: true, RelativeURLs: true, NoRanges: true,
	}, false},
	{"relative URLs", upstreamtest.Dialect{RelativeURLs: true}, false},
}

// TestClosure selects one project of the sample index and gets what it needs,
// with extras and markers, and nothing else, from every kind of upstream.
func TestClosure(t *testing.T) {
	t.Parallel()
	// cheeseplate needs cheddar[aged]<2, parmesan, edam by a marker that holds
	// and gorgonzola by one that does not; stilton only with an extra. cheddar
	// needs rennet (2.0 is for no Python) and, aged, curd[press], which needs
	// Whey.Tools. cheddar 2.0.0rc1 is a pre-release and 1.1.0 is yanked.
	want := []string{
		"cheeseplate-1.0-py3-none-any.whl", "cheddar-1.2.0-py3-none-any.whl", "parmesan-0.0.36-py3-none-any.whl",
		"edam-1.0-1-py3-none-any.whl", "rennet-1.1-py2.py3-none-any.whl", "curd-2.1-py3-none-any.whl", "whey_tools-0.1-py3-none-any.whl",
	}
	strong := append(slices.Clone(want), "stilton-1.0-py3-none-any.whl")
	for i, c := range dialects {
		if testing.Short() && i%5 > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			up := upstream(t, upstreamtest.SampleIndex(1), func(s *upstreamtest.Server) { s.Dialect, s.SplitFiles = c.dialect, c.split })
			b := open(t, settings(t, up, "cheeseplate"))
			b.synced()
			b.closure(up, c.dialect, want)
			requests := len(up.Requests().On(upstreamtest.OnFile("*")))
			b.synced()
			if got := len(up.Requests().On(upstreamtest.OnFile("*"))); got != requests {
				t.Errorf("the second sync asked for %d files", got-requests)
			}
			if left := b.problems(); len(left) > 0 {
				t.Errorf("problems are named:\n%s", left)
			}
			b.close()

			// With another extra the plan grows by what that needs.
			c2 := settings(t, up, "cheeseplate[strong]")
			c2.Data = b.Store.Dir()
			again := open(t, c2)
			again.synced()
			again.closure(up, c.dialect, strong)
			again.delivers(up.Index, strong)
		})
	}
}

// closure checks that exactly these files are here, with their metadata where
// the upstream offers it.
func (b *box) closure(up *upstreamtest.Server, d upstreamtest.Dialect, want []string) {
	b.Helper()
	var labels []string
	for _, name := range want {
		labels = append(labels, name)
		if !d.NoMetadata {
			labels = append(labels, name+".metadata")
		}
	}
	slices.Sort(labels)
	here := b.all(b.names())
	if got := slices.Sorted(maps.Keys(here)); !slices.Equal(got, labels) {
		b.Errorf("here are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(labels, "\n"))
	}
	for label, digest := range here {
		if digest != truth(up.Index, label) {
			b.Errorf("%s has the sha256 %s", label, digest)
		}
	}
	b.sound()
}

// delivers checks that a client gets each file as its page says, with the size.
func (b *box) delivers(x *upstreamtest.Index, names []string) {
	b.Helper()
	for _, name := range names {
		project, _, _ := strings.Cut(name, "-")
		f := b.page(strings.ReplaceAll(project, "_", "-")).file(name)
		if f.name == "" {
			b.Errorf("%s is on no page", name)
			continue
		}
		content, _ := x.Content(name)
		if a := b.get(f.url); !a.whole() || digestOf(a.body) != digestOf(content) || f.size != int64(len(content)) {
			b.Errorf("%s: %v, %d bytes are stated, want %d", name, a, f.size, len(content))
		}
		if f.metadata == "" {
			continue
		}
		if a := b.get(f.url + ".metadata"); !a.whole() || digestOf(a.body) != f.metadata {
			b.Errorf("metadata of %s: %v, want %s", name, a, f.metadata)
		}
	}
}
