package process

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is also the programs that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "as" {
		as(os.Args[2])
	}
	os.Exit(m.Run())
}

func as(what string) {
	switch what {
	case "three":
		_, _ = os.Stdout.WriteString("out\n")
		_, _ = os.Stderr.WriteString("err\n")
		os.Exit(3)
	case "killed":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	case "orphan": // leaves a child behind that ends later
		p, err := os.StartProcess("/proc/self/exe", []string{"x", "as", "short"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, nil}})
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString(strings.TrimSpace(string(rune('0'+p.Pid%10))) + "\n")
	case "short":
		<-time.After(200 * time.Millisecond)
	case "long":
		<-time.After(time.Hour)
	}
	os.Exit(0)
}

func started(t *testing.T) *Reaper {
	t.Helper()
	r := NewReaper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func TestOutput(t *testing.T) {
	r := started(t)
	out, exit, err := r.Output(t.Context(), 100, "/proc/self/exe", "as", "three")
	if err != nil || exit.Code() != 3 || exit.String() != "exit status 3" || string(out) != "out\nerr\n" {
		t.Errorf("%q, %s, %v", out, exit, err)
	}
	if out, _, err := r.Output(t.Context(), 3, "/proc/self/exe", "as", "three"); err != nil || string(out) != "rr\n" {
		t.Errorf("the last 3 bytes are %q, %v", out, err)
	}
	_, exit, err = r.Output(t.Context(), 100, "/proc/self/exe", "as", "killed")
	if err != nil || exit.Code() != -1 || exit.String() != "killed by SIGKILL" {
		t.Errorf("%s, %v", exit, err)
	}
	if _, _, err := r.Output(t.Context(), 100, "/nowhere"); err == nil {
		t.Error("a program that is not there was started")
	}
}

// TestPatience: what hangs ends with the context.
func TestPatience(t *testing.T) {
	r := started(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, exit, err := r.Output(ctx, 100, "/proc/self/exe", "as", "long"); err == nil || exit.Code() != -1 {
		t.Errorf("%s, %v", exit, err)
	}
}

// TestMany: none of many that end at once is missed.
func TestMany(t *testing.T) {
	r := started(t)
	var all []*Process
	for range 50 {
		p, err := r.Start("/proc/self/exe", []string{"as", "three"}, nil, []*os.File{os.Stdin, os.NewFile(uintptr(devNull(t)), ""), os.NewFile(uintptr(devNull(t)), "")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for _, p := range all {
		<-p.Ended()
		if p.Exit().Code() != 3 {
			t.Errorf("%d: %s", p.PID, p.Exit())
		}
	}
}

func devNull(t *testing.T) int {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestOrphan: who is left behind is waited for too, as init must.
func TestOrphan(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	r := started(t)
	// The pipe is closed when the orphan, who holds it too, has ended.
	if _, exit, err := r.Output(t.Context(), 100, "/proc/self/exe", "as", "orphan"); err != nil || exit.Code() != 0 {
		t.Fatalf("%s, %v", exit, err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == unix.ECHILD {
			return // nobody is left to be waited for
		}
		if time.Now().After(deadline) {
			t.Fatalf("an orphan was not taken: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
