package stick

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFromKernel: only the kernel itself is believed.
func TestFromKernel(t *testing.T) {
	cred := func(pid int32, uid uint32) []byte { return unix.UnixCredentials(&unix.Ucred{Pid: pid, Uid: uid}) }
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}
	for name, c := range map[string]struct {
		from    unix.Sockaddr
		control []byte
		want    bool
	}{
		"the kernel":        {kernel, cred(0, 0), true},
		"a process":         {&unix.SockaddrNetlink{Pid: 77, Groups: kernelGroup}, cred(77, 0), false},
		"one that hides":    {kernel, cred(77, 0), false},
		"another user":      {kernel, cred(0, 1000), false},
		"to us alone":       {&unix.SockaddrNetlink{}, cred(0, 0), false},
		"no credentials":    {kernel, nil, false},
		"noise for them":    {kernel, []byte{1, 2, 3}, false},
		"not by netlink":    {&unix.SockaddrUnix{}, cred(0, 0), false},
		"another's control": {kernel, unix.UnixRights(0), false},
	} {
		if got := fromKernel(c.from, c.control); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestListen opens the real socket, hears an event that the kernel makes where this user
// may ask for one, and ends with its context.
func TestListen(t *testing.T) {
	source, err := Listen()
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const trigger = "/sys/devices/virtual/mem/null/uevent"
	if err := os.WriteFile(trigger, []byte("change"), 0); err == nil {
		for {
			e, err := source.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if e.Path == "/devices/virtual/mem/null" && e.Action == "change" && e.Subsystem == "mem" {
				break
			}
		}
	} else {
		t.Logf("no event could be asked for: %v", err)
	}
	cancel()
	if _, err := source.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}

// TestListenEnds: what ends a listening does not write into a file that comes after it.
func TestListenEnds(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		source, err := Listen()
		if err != nil {
			t.Skip(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := source.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := source.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		g, err := os.Create(filepath.Join(dir, "other"))
		if err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		for _, file := range []*os.File{f, g} {
			if info, err := file.Stat(); err != nil || info.Size() > 0 {
				t.Fatalf("round %d: somebody wrote into a file that is not its own (%v)", i, err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMount mounts a file system on a loop device, as that of a stick: nothing on it can
// be run, what is in use is not let go of, and what was written is there afterwards.
func TestMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount")
	}
	for _, kind := range []struct{ name, make string }{{"vfat", "mkfs.vfat"}, {"ext4", "mkfs.ext4"}} {
		t.Run(kind.name, func(t *testing.T) {
			program, err := exec.LookPath(kind.make)
			if err != nil {
				t.Skipf("%s is not installed", kind.make)
			}
			dir := t.TempDir()
			image := filepath.Join(dir, "image")
			if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20)); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(program, image).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			out, err := exec.Command("losetup", "--find", "--show", image).Output()
			if err != nil {
				t.Skipf("no loop device: %v", err)
			}
			device := strings.TrimSpace(string(out))
			t.Cleanup(func() {
				if err := exec.Command("losetup", "--detach", device).Run(); err != nil {
					t.Error(err)
				}
			})
			folder := filepath.Join(dir, "stick")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			mount := func() {
				t.Helper()
				err := Mount(device, folder)
				known, readErr := os.ReadFile("/proc/filesystems") // after the kernel has looked for a module
				switch {
				case errors.Is(err, unix.EPERM), err != nil && readErr == nil && !strings.Contains(string(known), "\t"+kind.name+"\n"):
					t.Skipf("this kernel, or this sandbox, mounts no %s: %v", kind.name, err)
				case err != nil:
					t.Fatal(err)
				}
			}
			mount()
			t.Cleanup(func() { _ = unix.Unmount(folder, 0) }) // where the test has failed
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			_, options, _ := strings.Cut(string(mounts), " "+folder+" ")
			options, _, _ = strings.Cut(options, " ")
			for _, flag := range []string{"nosuid", "nodev", "noexec"} {
				if !strings.Contains(options, flag) {
					t.Errorf("mounted with %s, without %s", options, flag)
				}
			}
			file := filepath.Join(folder, "wish.txt")
			if err := os.WriteFile(file, []byte("numpy\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			open, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := Unmount(folder, 0); !errors.Is(err, unix.EBUSY) {
				t.Errorf("it was let go of while a file was open: %v", err)
			}
			if err := errors.Join(open.Close(), Unmount(folder, time.Second)); err != nil {
				t.Fatal(err)
			}
			mount()
			if text, err := os.ReadFile(file); err != nil || string(text) != "numpy\n" {
				t.Errorf("%q, %v", text, err)
			}
			if err := Unmount(folder, time.Second); err != nil {
				t.Error(err)
			}
			if err := Unmount(folder, time.Second); err != nil {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}
