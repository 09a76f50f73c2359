package upstreamtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPipInstalls has the real pip install the sample's root project, with its
// extras and markers, and look at what it got.
func TestPipInstalls(t *testing.T) {
	python := findPython(t)
	if err := exec.CommandContext(testContext(t), python, "-m", "pip", "--version").Run(); err != nil {
		t.Skip("python3 has no pip")
	}
	server := start(t, SampleIndex(1))
	// What pip must get over: a page that is unavailable once.
	told := server.Tell(OnPage("curd"), Status(503, ""), 1)
	target := filepath.Join(t.TempDir(), "site")
	pip := exec.CommandContext(testContext(t), python, "-m", "pip", "install", "--quiet", "--isolated",
		"--disable-pip-version-check", "--no-cache-dir", "--no-input", "--only-binary", ":all:", "--index-url", server.IndexURL(), "--target", target, "cheeseplate", "ricotta==2024.1+cu12")
	pip.Env = pipEnvironment()
	if out, err := pip.CombinedOutput(); err != nil {
		t.Fatalf("pip: %v\n%s\n%v", err, out, server.Requests())
	}
	script := "import cheddar, cheeseplate, curd, edam, parmesan, rennet, ricotta, whey_tools\n" +
		"print(cheddar.__version__, curd.__version__, edam.__version__, parmesan.__version__, rennet.__version__, ricotta.__version__, whey_tools.__version__)\n"
	check := exec.CommandContext(testContext(t), python, "-c", script)
	check.Env = append(pipEnvironment(), "PYTHONPATH="+target)
	out, err := check.CombinedOutput()
	if want := "1.2.0 2.1 1.0 0.0.36 1.1 2024.1+cu12 0.1\n"; err != nil || string(out) != want {
		t.Errorf("installed %q, want %q, %v", out, want, err)
	}
	if told.Count() != 1 || len(server.Requests().On(OnPage("curd"))) < 2 {
		t.Errorf("the lie was told %d times", told.Count())
	}
	if n := len(server.Requests().On(OnFile("stilton"))); n != 0 {
		t.Errorf("a file of an extra that nobody asked for was fetched %d times", n)
	}
}

// pipEnvironment is the environment without what would change where pip looks.
func pipEnvironment() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		key, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		return strings.HasPrefix(key, "PIP_") || strings.HasPrefix(key, "PYTHON") ||
			strings.HasSuffix(key, "_PROXY")
	})
	return append(env, "PIP_CONFIG_FILE="+os.DevNull)
}
