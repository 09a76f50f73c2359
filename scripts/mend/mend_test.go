package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sample is a module with two faults.
var sample = module{
	path: "example.org/cheese/v2",
	faults: []fault{
		{"a.go", "stinks(x)", "ripens(x)"},
		{"b/b.go", "defer leak(err)", "defer func() { leak(err) }()"},
	},
	added: map[string][]byte{"b/new.go": []byte("package b")},
}

func TestMend(t *testing.T) {
	files := map[string][]byte{
		"a.go":     []byte("a\nstinks(x)\nb\n"),
		"b/b.go":   []byte("defer leak(err)"),
		"other.go": []byte("stinks(x)"),
	}
	if err := sample.mend(files); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a.go":     "a\nripens(x)\nb\n",
		"b/b.go":   "defer func() { leak(err) }()",
		"b/new.go": "package b",
		"other.go": "stinks(x)",
	} {
		if got := string(files[name]); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := sample.name(); got != "cheese" {
		t.Errorf("its name is %s", got)
	}
}

func TestMendRefusesWhatItDoesNotKnow(t *testing.T) {
	const leak = "defer leak(err)"
	for name, files := range map[string]map[string]string{
		"no file":          {"other.go": "stinks(x)", "b/b.go": leak},
		"mended":           {"a.go": "ripens(x)", "b/b.go": leak},
		"two of them":      {"a.go": "stinks(x)\nstinks(x)", "b/b.go": leak},
		"other formatting": {"a.go": "stinks( x )", "b/b.go": leak},
		"the second":       {"a.go": "stinks(x)", "b/b.go": "defer leak(nil)"},
		"a file too many":  {"a.go": "stinks(x)", "b/b.go": leak, "b/new.go": ""},
	} {
		sources := map[string][]byte{}
		for name, text := range files {
			sources[name] = []byte(text)
		}
		if err := sample.mend(sources); err == nil {
			t.Errorf("%s: mend reported success", name)
		}
	}
}

// TestPrepare works on the modules that go.mod really selects, so it fails on
// the day when an upgrade makes the mend wrong.
func TestPrepare(t *testing.T) {
	cache := t.TempDir()
	modfile, err := Prepare("../..", cache)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, m := range modules {
		dir, err := runGo("../..", "list", "-modfile="+modfile, "-m", "-f", "{{.Dir}}", m.path)
		if err != nil {
			t.Fatal(err)
		}
		copied := strings.TrimSpace(string(dir))
		if filepath.Dir(copied) != cache {
			t.Fatalf("the modfile selects %s, which is not below %s", copied, cache)
		}
		for _, f := range m.faults {
			path := filepath.Join(copied, filepath.FromSlash(f.file))
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(source), f.mended) {
				t.Errorf("%s is not mended", path)
			}
			sources[path] = string(source)
		}
		// A copy that was damaged is restored, under the same name.
		for _, f := range m.faults {
			if err := os.WriteFile(filepath.Join(copied, filepath.FromSlash(f.file)), []byte("package z"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for name := range m.added {
			if err := os.Remove(filepath.Join(copied, filepath.FromSlash(name))); err != nil {
				t.Error(err)
			}
		}
	}
	again, err := Prepare("../..", cache)
	if err != nil {
		t.Fatal(err)
	}
	if again != modfile {
		t.Errorf("the second run gave %s, the first %s", again, modfile)
	}
	for path, source := range sources {
		if restored, err := os.ReadFile(path); err != nil || string(restored) != source {
			t.Errorf("the damaged %s was not restored (%v)", path, err)
		}
	}
	if _, err := runGo("../..", "build", "-modfile="+modfile, "github.com/dgraph-io/badger/v4"); err != nil {
		t.Error(err)
	}
}

func TestPrepareConcurrently(t *testing.T) {
	cache := t.TempDir()
	var wg sync.WaitGroup
	paths := make([]string, 4)
	for i := range paths {
		wg.Go(func() {
			path, err := Prepare("../..", cache)
			if err != nil {
				t.Error(err)
			}
			paths[i] = path
		})
	}
	wg.Wait()
	for _, path := range paths {
		if path != paths[0] {
			t.Errorf("runs at the same time gave %s and %s", paths[0], path)
		}
	}
}
