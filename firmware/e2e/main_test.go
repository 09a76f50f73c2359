package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "cheeseboard/firmware/app" // a change of the program makes results in the go command's cache void
)

// workshop is a folder for all tests: the program lies in it, and whatever else
// is made once for several of them.
var workshop string

// program is the path of the program under test.
func program() string { return filepath.Join(workshop, "bin", "cheeseboard") }

func TestMain(m *testing.M) {
	flag.Parse()
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if workshop, err = os.MkdirTemp("", "cheeseboard-e2e-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(workshop)) }()
	if _, err := os.ReadDir("../cmd/cheeseboard"); err != nil { // and so does one of its commands
		return 0, err
	}
	args := append([]string{"build", "-o", program()}, raceFlags...)
	build := exec.Command("go", append(args, "cheeseboard/firmware/cmd/cheeseboard")...)
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// environment is that of the tests without what would change where pip looks,
// how Python works, or how the program is set.
func environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		key, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		for _, prefix := range []string{"PIP_", "UV_", "PYTHON", "VIRTUAL_ENV", "CHEESEBOARD_"} {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return strings.HasSuffix(key, "_PROXY")
	})
	if os.Getenv("GORACE") == "" {
		env = append(env, "GORACE=atexit_sleep_ms=10") // else each end takes a second
	}
	return append(append(env, "PIP_CONFIG_FILE="+os.DevNull), more...)
}
