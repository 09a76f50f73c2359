package hardship

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestPlain32BitRefuses builds the program for a 32-bit processor as anybody would
// who does not know of the fault in ristretto, and runs it: it must say so and
// leave the data folder alone, not lose what is stored in it.
func TestPlain32BitRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole program")
	}
	arch, emulator := "386", []string{}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "386" {
		path, err := exec.LookPath("qemu-i386-static")
		if err != nil {
			t.Skipf("nothing runs a 386 program here: %v", err)
		}
		emulator = []string{path}
	}
	program := filepath.Join(t.TempDir(), "cheeseboard")
	build := exec.Command("go", "build", "-o", program, "cheeseboard/firmware/cmd/cheeseboard")
	build.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build it: %v\n%s", err, out)
	}
	data := filepath.Join(t.TempDir(), "data")
	command := append(emulator, program, "serve", "--data", data, "--listen", "127.0.0.1:0")
	run := exec.Command(command[0], command[1:]...)
	run.Env = []string{"HOME=" + t.TempDir()}
	out, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "would lose data on a 32-bit machine") || !strings.Contains(string(out), "scripts/build") {
		t.Errorf("it says (%v)\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "meta", "*")); len(left) > 0 {
		t.Errorf("it has made %q", left)
	}
}
