package blob

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// passingFolder names the folder for the process in which TestPassingWant opens files until
// it may have no more.
const passingFolder = "CHEESEBOARD_TEST_PASSING"

// TestPassingWant begins a partial in a process that may open no further file: that is an
// error, and what is here stays. A moment later the partial goes on where it stopped.
func TestPassingWant(t *testing.T) {
	data, digest := payload(42, 10_000)
	if folder := os.Getenv(passingFolder); folder != "" {
		wantForFiles(t, folder)
		return
	}
	folder := t.TempDir()
	p := begin(t, open(t, folder, Options{}), digest, 10_000)
	write(t, p, data[:7000])
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^TestPassingWant$")
	child.Env = append(os.Environ(), passingFolder+"="+folder)
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this kernel does not know how to start this program: it runs in an emulator")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func wantForFiles(t *testing.T, folder string) {
	_, digest := payload(42, 10_000)
	d := open(t, folder, Options{})
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	for err := error(nil); err == nil; {
		var f *os.File
		if f, err = os.Open("/dev/null"); err == nil {
			taken = append(taken, f)
		}
	}
	for free := range 2 { // for the file itself, and not for what is said of it
		if free > 0 {
			_ = taken[0].Close() // it was only opened
			taken = taken[1:]
		}
		if p, err := d.Begin(digest, 10_000, nil); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("with %d files free: %v, %v", free, p, err)
		}
	}
	for _, f := range taken {
		_ = f.Close() // as above
	}
	p := begin(t, d, digest, 10_000)
	if p.Offset() != 7000 {
		t.Errorf("it goes on at %d of the 7000 bytes that were here", p.Offset())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
