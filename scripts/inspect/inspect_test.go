package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// build compiles a tiny program and returns its path.
func build(t *testing.T, env []string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example\n\ngo 1.26.0\n",
		"main.go": "package main\n\nvar version string\n\nfunc main() { println(version) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-o", "program"}, flags...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return filepath.Join(dir, "program")
}

func TestInspect(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles programs")
	}
	arm6 := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=6"}
	good := build(t, arm6, "-trimpath", "-ldflags=-s -w -X main.version=v1.2.3-4-gabcdef")
	bad := build(t, arm6)
	for _, test := range []struct {
		file, target, version string
		want                  []string // parts of the error
	}{
		{good, "linux/arm/6", "v1.2.3-4-gabcdef", nil},
		{good, "linux/arm/6", "v9.9.9", []string{"v9.9.9 is not stamped"}},
		{good, "linux/arm/7", "v1.2.3", []string{"ARM version 6, not 7"}},
		{good, "linux/arm64", "v1.2.3", []string{"not EM_AARCH64"}},
		{good, "linux/mips", "v1.2.3", []string{"not known"}},
		{good, "plan9/arm", "v1.2.3", []string{"not linux"}},
		{bad, "linux/arm/6", "", []string{"not stripped", "-trimpath"}},
		{"main.go", "linux/arm/6", "", []string{"magic"}},
	} {
		err := inspect(test.file, test.target, test.version)
		if len(test.want) == 0 && err != nil {
			t.Errorf("%s: %v", test.target, err)
		}
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: got %v, want %q", test.target, test.version, err, want)
			}
		}
	}

	var out strings.Builder
	if err := inspectAll(&out, "v1.2.3-4-gabcdef", []string{"linux/arm/6=" + good}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "linux/arm/6") {
		t.Errorf("the table is %q", out.String())
	}
}

func TestCheckBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Settings: []debug.BuildSetting{{Key: "CGO_ENABLED", Value: "0"}, {Key: "-trimpath", Value: "true"}, {Key: "GOARM", Value: "6"}},
		Deps:     []*debug.Module{{Path: "example.org/cheese", Version: "v1.0.0"}},
	}
	if faults := checkBuild(info, []string{"arm", "6"}); len(faults) > 0 {
		t.Errorf("without a module that is to be mended: %v", faults)
	}
	for _, path := range mendedModules {
		info.Deps = append(info.Deps, &debug.Module{Path: path, Version: "v2.2.0"})
	}
	if faults := checkBuild(info, []string{"arm64"}); len(faults) != len(mendedModules) {
		t.Errorf("with unmended modules: %v, want a fault for each", faults)
	}
	for _, dep := range info.Deps[1:] {
		dep.Replace = &debug.Module{Path: "/somewhere"}
	}
	if faults := checkBuild(info, []string{"arm", "6"}); len(faults) > 0 {
		t.Errorf("with mended modules: %v", faults)
	}
	info.Settings[0].Value = "1"
	if faults := checkBuild(info, []string{"arm", "6"}); len(faults) != 1 {
		t.Errorf("with cgo: %v, want one fault", faults)
	}
}
