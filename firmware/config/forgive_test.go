package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestForgive: what is wrong keeps its default and is named with its line, and what is
// right holds.
func TestForgive(t *testing.T) {
	const file = `
[serve]
listen = ":80"
nmae = "kitchen"

[sync]
interval = "6 hours"
projects = ["numpy>=2", "not a requirement!", "requests"]
latest = 2

[led]
invert = "maybe"
`
	path := write(t, filepath.Join(t.TempDir(), "cheeseboard.toml"), file)
	c, f := LoadForgiving(path)
	if f == nil {
		t.Fatal("nothing was wrong")
	}
	want := Default()
	want.Serve.Listen, want.Sync.Latest = ":80", 2
	want.Sync.Projects = []string{"numpy>=2", "requests"}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("other settings than wanted:\n%s", diff)
	}
	var problems Problems
	if !errors.As(f, &problems) || len(problems) != 4 || len(f.Lines()) != 4 {
		t.Fatalf("problems: %v", f)
	}
	for i, line := range []int{4, 7, 8, 12} {
		if problems[i].Line != line {
			t.Errorf("%v: want line %d", problems[i], line)
		}
	}
	if f.Held {
		t.Error("fetching is held for that")
	}
	if _, err := Load(path); err == nil {
		t.Error("the strict way forgives too")
	}
}

// TestForgiveNothing: a good file is as ever.
func TestForgiveNothing(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "cheeseboard.toml"), "[sync]\ninterval = \"1h\"\n")
	c, f, err := Sources{File: path, Set: []string{"sync.latest=3"}, Environ: []string{"CHEESEBOARD_MACHINE=/run/x", "CHEESEBOARD_MACHINE_GATE=3"}}.Forgive()
	if err != nil || f != nil || f.Lines() != nil {
		t.Fatalf("got %v, %v", f, err)
	}
	if c.Sync.Latest != 3 || c.Sync.Interval != Duration(time.Hour) {
		t.Errorf("got %+v", c.Sync)
	}
}

// TestForgiveOpensNoDoor: what a mistake may have opened stays shut.
func TestForgiveOpensNoDoor(t *testing.T) {
	for _, c := range []struct {
		name, file string
		pull, held bool
		read       ReadAccess
	}{
		{"light", "[led]\ninvert = 1", true, false, ReadEverybody},
		{"not TOML", "[led]\ninvert = = 1", true, false, ReadEverybody},
		{"not TOML, with private names", "[led\n[private]\nnames = [\"acme-*\"]", false, true, ReadEverybody},
		{"not TOML, with dotted private names", "x = = 1\nprivate.names = [\"acme-*\"]", false, true, ReadEverybody},
		{"not TOML, with tokens", "[access]\nread = token", true, false, ReadToken},
		{"UTF-16", "\xff\xfe[\x00l\x00e\x00d\x00]\x00", false, true, ReadToken},
		{"private", "[private]\nnames = [\"acme-*\", \"!\"]", false, true, ReadEverybody},
		{"blocked", "[policy]\nblock = [\"reqeusts # typosquat\", \"== 3\"]", false, true, ReadEverybody},
		{"index", "[[index]]\nname = \"corp\"\nurl = \"nowhere\"\nprojects = [\"corp-*\"]", false, true, ReadEverybody},
		{"unknown table", "[prvate]\nnames = [\"acme-*\"]", false, true, ReadToken},
		{"upstream", "[upstream]\nurl = 3", false, true, ReadEverybody},
		{"cap", "[line]\nmonthly-cap = \"much\"", true, true, ReadEverybody},
		{"tokens", "[access]\nread = \"tokens\"", true, false, ReadToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, f := parseForgiving("f", []byte(c.file))
			if f == nil {
				t.Fatal("nothing was wrong")
			}
			if got.Pull.Enabled != c.pull || f.Held != c.held || got.Access.Read != c.read {
				t.Errorf("pull %v, held %v, read by %v; want %v, %v, %v (%v)", got.Pull.Enabled, f.Held, got.Access.Read, c.pull, c.held, c.read, f)
			}
		})
	}
}

// TestForgiveWithoutFile: a file that is gone is reported, mistakes of a program are errors.
func TestForgiveWithoutFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "cheeseboard.toml")
	c, f, err := Sources{File: missing}.Forgive()
	if err != nil || !errors.Is(f, fs.ErrNotExist) || !f.Held {
		t.Errorf("got %v, %v", f, err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("not the defaults:\n%s", diff)
	}
	if _, _, err := (Sources{File: missing, Set: []string{"sync.intervall=1h"}}).Forgive(); err == nil {
		t.Error("a wrong flag was forgiven")
	}
	if _, _, err := (Sources{File: missing, Environ: []string{"CHEESEBOARD_SYNC_LATEST=x"}}).Forgive(); err == nil {
		t.Error("a wrong variable was forgiven")
	}
}

// TestForgiveIndex: the tables that are right hold.
func TestForgiveIndex(t *testing.T) {
	const file = `
[[index]]
name = "corp"
url = "http://pkg.example/"
projects = ["corp-*"]

[[index]]
name = "other"
url = "nowhere"
projects = ["other-*"]
`
	c, f := parseForgiving("f", []byte(file))
	if len(c.Index) != 1 || c.Index[0].Name != "corp" || f == nil || !strings.Contains(f.Error(), "f:9:") {
		t.Errorf("got %+v, %v", c.Index, f)
	}
}

// Whatever is forgiven gives settings that can be written and read back, and what is
// right is not touched.
func FuzzForgive(f *testing.F) {
	for _, seed := range []string{
		"", string(Render(Default())), "[sync]\nprojects = [\"numpy>=2,<3\", 3, \"!\"]", "[[index]]\nname = 1\n[[index]]\nname=\"b\"",
		"sync = [1, {a = 2}, [3]]", "data = \"C:\\Users\"", "\xff\xfe", "[prvate]", "index = [{name=\"corp\"}, 3]", "[line",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, forgiven := parseForgiving("f", data)
		strict, err := Parse("f", data)
		if (err == nil) != (forgiven == nil) {
			t.Fatalf("forgiven %v, and strictly: %v", forgiven, err)
		}
		if err == nil {
			if diff := cmp.Diff(strict, c); diff != "" {
				t.Fatalf("a good file says something else:\n%s", diff)
			}
		} else if !slices.Equal(forgiven.Lines(), strings.Split(err.Error(), "\n")) {
			t.Fatalf("forgiven %v, and strictly: %v", forgiven, err)
		}
		again, err := Parse("rendered", Render(c))
		if err != nil {
			t.Fatalf("the rendered file is refused: %v", err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Fatalf("the rendered file says something else:\n%s", diff)
		}
	})
}
