package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// helper is set in the process that confines itself: that cannot be undone.
const helper = "CHEESEBOARD_TEST_CONFINE"

// TestConfined has a process of its own confine itself and try what it may, and what
// it may not, in many threads.
func TestConfined(t *testing.T) {
	if dir := os.Getenv(helper); dir != "" {
		confined(dir)
		return
	}
	if testing.Short() {
		t.Skip("it builds itself a second time")
	}
	dir := t.TempDir()
	for _, folder := range []string{"data", "read", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, folder, "file"), []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The test itself may be built with cgo, as for the race detector; the program never is.
	binary := filepath.Join(dir, "confine.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	c := exec.Command(binary, "-test.run=^TestConfined$")
	c.Env = append(os.Environ(), helper+"="+dir)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said, _, _ := strings.Cut(string(out), "\n")
	var result struct {
		Unsupported string
		Version     int
		Wrong       []string
		Tried       int
	}
	if err := json.Unmarshal([]byte(said), &result); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if result.Unsupported != "" {
		t.Skip(result.Unsupported)
	}
	if len(result.Wrong) > 0 || result.Tried < 100 {
		t.Errorf("%d tries under version %d: %s", result.Tried, result.Version, strings.Join(result.Wrong, "\n"))
	}
	t.Logf("%d tries under version %d of the interface", result.Tried, result.Version)
}

// confined is what the other process does. It prints one line of JSON.
func confined(dir string) {
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	version, err := Apply(Access{Write: []string{at("data"), at("missing")}, Read: []string{at("read", "file")}, Use: []string{os.DevNull}})
	result := map[string]any{"Version": version}
	if errors.Is(err, ErrUnsupported) {
		result["Unsupported"] = err.Error()
	}
	var wrong []string
	tried := 0
	expect := func(what string, allowed bool, err error) {
		tried++
		if allowed != (err == nil) || !allowed && !errors.Is(err, fs.ErrPermission) {
			wrong = append(wrong, fmt.Sprintf("%s: allowed is %t, got %v", what, allowed, err))
		}
	}
	for range 10 {
		done := make(chan struct{})
		go func() { // in a thread of its own, some of which were there before
			defer close(done)
			runtime.LockOSThread()
			read := func(path string) error { _, err := os.ReadFile(path); return err }
			expect("read in the data folder", true, read(at("data", "file")))
			expect("write there", true, os.WriteFile(at("data", "new"), nil, 0o644))
			expect("make a folder there", true, os.MkdirAll(at("data", "folder"), 0o755))
			expect("link there", true, errors.Join(os.Link(at("data", "new"), at("data", "folder", "new")), os.Remove(at("data", "folder", "new"))))
			expect("read what may be read", true, read(at("read", "file")))
			expect("write what may be read", false, os.WriteFile(at("read", "file"), nil, 0o644))
			expect("read elsewhere", false, read(at("elsewhere", "file")))
			expect("write elsewhere", false, os.WriteFile(at("elsewhere", "new"), nil, 0o644))
			expect("remove elsewhere", false, os.Remove(at("elsewhere", "file")))
			expect("list elsewhere", false, func() error { _, err := os.ReadDir(at("elsewhere")); return err }())
			expect("read the users", false, read("/etc/passwd"))
			expect("go around by a link", false, func() error {
				_ = os.Remove(at("data", "link"))
				if err := os.Symlink(at("elsewhere", "file"), at("data", "link")); err != nil {
					return fmt.Errorf("make the link: %w", err)
				}
				return read(at("data", "link"))
			}())
			expect("use a device", true, os.WriteFile(os.DevNull, []byte("x"), 0))
			expect("run a program", false, exec.Command("/bin/sh", "-c", "true").Run())
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			expect("listen", true, err)
			if err == nil {
				_ = listener.Close() // it was only to see
			}
		}()
		<-done
	}
	result["Wrong"], result["Tried"] = wrong, tried
	if err != nil && result["Unsupported"] == nil {
		result["Wrong"] = append(wrong, err.Error())
	}
	line, err := json.Marshal(result)
	fmt.Printf("%s\n", line)
	if err != nil {
		os.Exit(1)
	}
}

// TestRules holds the rules' form against what the kernel reads.
func TestRules(t *testing.T) {
	rule := pathBeneath(0x0102030405060708, 0x0a0b0c0d)
	if rule != [12]byte{8, 7, 6, 5, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa} && rule != [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 0xa, 0xb, 0xc, 0xd} {
		t.Errorf("%x", rule)
	}
	if known(2)&(1<<13) == 0 || known(2)&(1<<14) != 0 || known(3)&(1<<14) == 0 || known(4)&(1<<15) != 0 || known(5)&(1<<15) == 0 {
		t.Error("a version of the interface is asked for what it does not know")
	}
}
