package plan

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"cheeseboard/storage/pypi"
)

func file(name string, edit ...func(*pypi.File)) pypi.File {
	d := pypi.Digest(sha256.Sum256([]byte(name)))
	f := pypi.File{Filename: name, URL: "https://x.example/" + name, Size: 1000, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: d.String()}}}
	for _, e := range edit {
		e(&f)
	}
	return f
}

func yanked(f *pypi.File)                 { f.Yanked.Is = true }
func python(spec string) func(*pypi.File) { return func(f *pypi.File) { f.RequiresPython = spec } }
func size(n int64) func(*pypi.File)       { return func(f *pypi.File) { f.Size = n } }
func bare(f *pypi.File)                   { f.Hashes = nil }

func names(p Plan) string {
	var out []string
	for _, c := range p.Choices {
		out = append(out, c.File.Filename)
	}
	return strings.Join(out, " ")
}

func targets(t *testing.T, pythons, platforms string) []Target {
	t.Helper()
	list, err := NewTargets(strings.Fields(pythons), strings.Fields(platforms))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestChoose(t *testing.T) {
	pure := []pypi.File{
		file("a-1.0-py3-none-any.whl"), file("a-1.0.tar.gz"),
		file("a-1.1-py3-none-any.whl"), file("a-1.1.tar.gz"),
		file("a-1.2-py3-none-any.whl", yanked),
		file("a-2.0rc1-py3-none-any.whl"),
	}
	binary := []pypi.File{
		file("a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
		file("a-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"),
		file("a-1.0-cp311-cp311-musllinux_1_1_x86_64.whl"),
		file("a-1.0-cp311-cp311-win_amd64.whl"),
		file("a-1.1-cp312-cp312-manylinux_2_17_x86_64.whl"),
		file("a-1.1-1-cp312-cp312-manylinux_2_17_x86_64.whl"),
		file("a-1.1-cp38-abi3-manylinux_2_17_aarch64.whl"),
		file("a-1.1.tar.gz"),
	}
	for _, c := range []struct {
		name, req string
		files     []pypi.File
		pythons   string
		platforms string
		policy    Policy
		want      string
		note      string
	}{
		{"newest", "a", pure, "3.11", "any", Policy{Latest: 1}, "a-1.1-py3-none-any.whl", ""},
		{"two newest", "a", pure, "3.11", "any", Policy{Latest: 2}, "a-1.0-py3-none-any.whl a-1.1-py3-none-any.whl", ""},
		{"range", "a<1.1", pure, "3.11", "any", Policy{Latest: 1}, "a-1.0-py3-none-any.whl", ""},
		{"all with sdists", "a", pure, "3.11", "any", Policy{Sdists: SdistsAlways}, "a-1.0-py3-none-any.whl a-1.0.tar.gz a-1.1-py3-none-any.whl a-1.1.tar.gz", ""},
		{"yanked, named", "a==1.2", pure, "3.11", "any", Policy{Latest: 1}, "a-1.2-py3-none-any.whl", ""},
		{"yanked, by wildcard", "a==1.2.*", pure, "3.11", "any", Policy{Latest: 1}, "", "nothing on the page matches"},
		{"pre-releases", "a", pure, "3.11", "any", Policy{Latest: 1, Prereleases: true}, "a-2.0rc1-py3-none-any.whl", ""},
		{"pre-release named", "a>=2.0rc1", pure, "3.11", "any", Policy{Latest: 1}, "a-2.0rc1-py3-none-any.whl", ""},
		{"only pre-releases", "a", pure[5:], "3.11", "any", Policy{Latest: 1}, "a-2.0rc1-py3-none-any.whl", ""},
		{"nothing", "a>7", pure, "3.11", "any", Policy{Latest: 1}, "", "a>7"},
		{
			"each target gets what it can install", "a", binary, "3.11 3.12", "linux-x86_64", Policy{Latest: 1, Sdists: SdistsNever},
			"a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl a-1.1-1-cp312-cp312-manylinux_2_17_x86_64.whl", "",
		},
		{
			"sdist where there is no wheel", "a", binary, "3.11 3.12", "linux-x86_64", Policy{Latest: 1},
			"a-1.1-1-cp312-cp312-manylinux_2_17_x86_64.whl a-1.1.tar.gz", "",
		},
		{"stable ABI", "a", binary, "3.11 3.12", "any linux-aarch64", Policy{Latest: 1}, "a-1.1-cp38-abi3-manylinux_2_17_aarch64.whl", ""},
		{"windows", "a==1.0", binary, "3.11", "windows-amd64", Policy{Latest: 1}, "a-1.0-cp311-cp311-win_amd64.whl", ""},
		{"only pure", "a==1.0", binary, "3.11", "any", Policy{Latest: 1}, "", "nothing"},
		{
			"Python too old for the newest", "a",
			[]pypi.File{file("a-1.0-py3-none-any.whl"), file("a-2.0-py3-none-any.whl", python(">=3.12"))},
			"3.11", "any", Policy{Latest: 1}, "a-1.0-py3-none-any.whl", "",
		},
		{
			"some micro release will do", "a", []pypi.File{file("a-2.0-py3-none-any.whl", python(">=3.11.4"))},
			"3.11", "any", Policy{Latest: 1}, "a-2.0-py3-none-any.whl", "",
		},
		{
			"a requirement on Python that nobody can read", "a", []pypi.File{file("a-2.0-py3-none-any.whl", python("three"))},
			"3.11", "any", Policy{Latest: 1}, "a-2.0-py3-none-any.whl", "",
		},
		{
			"too large", "a", []pypi.File{file("a-1.0-py3-none-any.whl"), file("a-2.0-py3-none-any.whl", size(5000))},
			"3.11", "any", Policy{Latest: 2, MaxFileSize: 4000}, "a-1.0-py3-none-any.whl", "a-2.0-py3-none-any.whl is larger",
		},
		{
			"without a digest", "a", []pypi.File{file("a-1.0-py3-none-any.whl"), file("a-2.0-py3-none-any.whl", bare)},
			"3.11", "any", Policy{Latest: 1}, "a-1.0-py3-none-any.whl", "",
		},
		{
			"other forms", "a", []pypi.File{file("a-1.0-py3.11.egg"), file("a-1.0.win32.exe"), file("nonsense"), file("a-1.0-py3-none-any.whl")},
			"3.11", "any", Policy{}, "a-1.0-py3-none-any.whl", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := pypi.ParseRequirement(c.req)
			if err != nil {
				t.Fatal(err)
			}
			c.policy.Targets = targets(t, c.pythons, c.platforms)
			got := Choose(&pypi.Project{Name: "a", Files: c.files}, []pypi.Requirement{req}, c.policy)
			if names(got) != c.want {
				t.Errorf("chose %q, want %q", names(got), c.want)
			}
			if notes := strings.Join(got.Notes, "; "); !strings.Contains(notes, c.note) || (c.note == "") != (notes == "") {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
		})
	}
}

func TestChooseQuarantined(t *testing.T) {
	req, err := pypi.ParseRequirement("a")
	if err != nil {
		t.Fatal(err)
	}
	p := &pypi.Project{Name: "a", Files: []pypi.File{file("a-1.0-py3-none-any.whl")}, Status: pypi.Status{State: pypi.StatusQuarantined}}
	if got := Choose(p, []pypi.Requirement{req}, Policy{Targets: targets(t, "3.11", "any")}); len(got.Choices) != 0 || len(got.Notes) == 0 {
		t.Errorf("%+v", got)
	}
}

func TestDependencies(t *testing.T) {
	m, err := pypi.ParseCoreMetadata([]byte(`Metadata-Version: 2.1
Name: a
Version: 1.0
Requires-Dist: always>=1
Requires-Dist: old; python_version < "3.9"
Requires-Dist: windows; sys_platform == "win32"
Requires-Dist: nice; extra == "nice"
Requires-Dist: elsewhere @ https://x.example/e.whl
Requires-Dist: arm; platform_machine == "aarch64"
`))
	if err != nil {
		t.Fatal(err)
	}
	list := func(extras string, ts []Target) string {
		var out []string
		for _, r := range Dependencies(m, strings.Fields(extras), ts) {
			out = append(out, Text(r))
		}
		return strings.Join(out, " ")
	}
	all := targets(t, "3.8 3.12", "linux-x86_64 linux-aarch64 windows-amd64")
	if got := list("nice", all); got != "always>=1 old windows nice arm" {
		t.Errorf("all targets: %q", got)
	}
	if got := list("", targets(t, "3.12", "linux-x86_64")); got != "always>=1" {
		t.Errorf("one target: %q", got)
	}
	if got := list("", nil); got != "always>=1" {
		t.Errorf("no target: %q", got)
	}
}

func TestReconcile(t *testing.T) {
	old := &pypi.Project{Name: "a", Files: []pypi.File{file("a-1.0.tar.gz"), file("a-1.1.tar.gz"), file("a-1.2.tar.gz")}}
	kept, _ := old.Files[0].Hashes.SHA256()
	gone, _ := old.Files[1].Hashes.SHA256()
	held := func(d pypi.Digest) bool { return d == kept || d == gone }
	list := func(p *pypi.Project) string {
		var out []string
		for _, f := range p.Files {
			out = append(out, f.Filename)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	changed := file("a-1.0.tar.gz", func(f *pypi.File) {
		f.Hashes = pypi.Hashes{{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}}
	})
	for _, c := range []struct {
		name      string
		fresh     []pypi.File
		state     string
		remove    bool
		want      string
		removed   int
		conflicts int
	}{
		{"the same", old.Files, "", true, "a-1.0.tar.gz a-1.1.tar.gz a-1.2.tar.gz", 0, 0},
		{"one more", append(slices.Clone(old.Files), file("a-2.0.tar.gz")), "", true, "a-1.0.tar.gz a-1.1.tar.gz a-1.2.tar.gz a-2.0.tar.gz", 0, 0},
		{"one less that is here", []pypi.File{old.Files[0], old.Files[2]}, "", true, "a-1.0.tar.gz a-1.2.tar.gz", 1, 0},
		{"the same, held back", []pypi.File{old.Files[0], old.Files[2]}, "", false, "a-1.0.tar.gz a-1.1.tar.gz a-1.2.tar.gz", 1, 0},
		{"one less that is not here", old.Files[:2], "", false, "a-1.0.tar.gz a-1.1.tar.gz", 0, 0},
		{"empty", nil, "", true, "", 2, 0},
		{"empty, held back", nil, "", false, "a-1.0.tar.gz a-1.1.tar.gz", 2, 0},
		{"quarantined", nil, pypi.StatusQuarantined, true, "a-1.0.tar.gz a-1.1.tar.gz a-1.2.tar.gz", 0, 0},
		{"other bytes", []pypi.File{changed, old.Files[1]}, "", true, "a-1.0.tar.gz a-1.1.tar.gz", 0, 1},
		{"no digest any more", []pypi.File{file("a-1.0.tar.gz", bare), old.Files[1]}, "", true, "a-1.0.tar.gz a-1.1.tar.gz", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			fresh := &pypi.Project{Name: "a", Files: slices.Clone(c.fresh), Status: pypi.Status{State: c.state}}
			got := Reconcile(old, fresh, held, c.remove)
			if list(got.Page) != c.want || len(got.Removed) != c.removed || len(got.Conflicts) != c.conflicts {
				t.Errorf("page %q, removed %v, conflicts %v", list(got.Page), got.Removed, got.Conflicts)
			}
			for _, f := range got.Page.Files {
				if d, _ := f.Hashes.SHA256(); f.Filename == "a-1.0.tar.gz" && d != kept {
					t.Error("the digest of a file that is here was replaced")
				}
			}
			if got.Page.Status.State != c.state || len(fresh.Files) != len(c.fresh) {
				t.Error("the state was lost, or the upstream's page was changed")
			}
		})
	}
	if got := Reconcile(nil, old, held, false); list(got.Page) != list(old) {
		t.Errorf("a new project: %q", list(got.Page))
	}
}

// TestReconcileKeepsMetadata: a file that is here keeps the metadata that is here.
func TestReconcileKeepsMetadata(t *testing.T) {
	with := func(letter string) *pypi.Project {
		return &pypi.Project{Name: "a", Files: []pypi.File{file("a-1.0.tar.gz", func(f *pypi.File) {
			f.CoreMetadata = pypi.CoreMetadata{Available: true, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: strings.Repeat(letter, 64)}}}
		})}}
	}
	ours, _ := with("a").Files[0].CoreMetadata.Hashes.SHA256()
	for _, c := range []struct {
		here      bool
		want      string
		conflicts int
	}{{true, "a", 1}, {false, "b", 0}} {
		held := func(d pypi.Digest) bool { return d != ours || c.here }
		got := Reconcile(with("a"), with("b"), held, true)
		digest, _ := got.Page.Files[0].CoreMetadata.Hashes.SHA256()
		if digest.String() != strings.Repeat(c.want, 64) || len(got.Conflicts) != c.conflicts {
			t.Errorf("metadata here %t: the page names %s, conflicts %v", c.here, digest, got.Conflicts)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		held, removed int
		limit         float64
		want          bool
	}{{100, 10, 0.1, true}, {100, 11, 0.1, false}, {5, 1, 0.1, false}, {5, 0, 0, true}, {5, 5, 1, true}, {0, 0, 0.1, true}} {
		if got := Allowed(c.held, c.removed, c.limit); got != c.want {
			t.Errorf("Allowed(%d, %d, %g) = %v", c.held, c.removed, c.limit, got)
		}
	}
}
