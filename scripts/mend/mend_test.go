package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMendChangesOneExpression(t *testing.T) {
	files := map[string][]byte{
		brokenFile: []byte("a\natomic.StoreUint64(&a.compIdx, uint64((bufIdx+1)<<32))\nb\n"),
		"other.go": []byte("uint64((bufIdx+1)<<32)"),
	}
	if err := mend(files); err != nil {
		t.Fatal(err)
	}
	if got, want := string(files[brokenFile]), "a\natomic.StoreUint64(&a.compIdx, uint64(bufIdx+1)<<32)\nb\n"; got != want {
		t.Errorf("mended file is %q, want %q", got, want)
	}
	if got := string(files["other.go"]); got != brokenExpr {
		t.Errorf("another file was changed to %q", got)
	}
}

func TestMendRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, files := range map[string]map[string][]byte{
		"no file":          {"z/other.go": []byte(brokenExpr)},
		"no expression":    {brokenFile: []byte("uint64(bufIdx+1)<<32")},
		"two expressions":  {brokenFile: []byte(brokenExpr + "\n" + brokenExpr)},
		"other formatting": {brokenFile: []byte("uint64((bufIdx + 1) << 32)")},
	} {
		if err := mend(files); err == nil {
			t.Errorf("%s: mend reported success", name)
		}
	}
}

// TestPrepare works on the module that go.mod really selects, so it fails on
// the day when an upgrade makes the mend wrong.
func TestPrepare(t *testing.T) {
	cache := t.TempDir()
	modfile, err := Prepare("../..", cache)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := runGo("../..", "list", "-modfile="+modfile, "-m", "-f", "{{.Dir}}", modulePath)
	if err != nil {
		t.Fatal(err)
	}
	replacement := strings.TrimSpace(string(dir))
	if filepath.Dir(replacement) != cache {
		t.Fatalf("the modfile selects %s, which is not below %s", replacement, cache)
	}
	broken := filepath.Join(replacement, filepath.FromSlash(brokenFile))
	source, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(source), brokenExpr) || !strings.Contains(string(source), mendedExpr) {
		t.Errorf("%s is not mended", broken)
	}

	// A copy that was damaged is restored, under the same name.
	if err := os.WriteFile(broken, []byte("package z"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := Prepare("../..", cache)
	if err != nil {
		t.Fatal(err)
	}
	if again != modfile {
		t.Errorf("the second run gave %s, the first %s", again, modfile)
	}
	if restored, err := os.ReadFile(broken); err != nil || string(restored) != string(source) {
		t.Errorf("the damaged copy was not restored (%v)", err)
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
