package hardship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"cheeseboard/firmware/app"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hardship")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = sync.OnceValues(func() (string, error) { return build(dir) })
	net.DefaultResolver = names.resolver() // no test asks for a name outside
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// binary builds the program, once, for the tests that need a process.
var binary func() (string, error)

func build(dir string) (string, error) {
	path := filepath.Join(dir, "cheeseboard")
	out, err := exec.Command("go", "build", "-o", path, "cheeseboard/firmware/cmd/cheeseboard").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build cheeseboard: %w\n%s", err, out)
	}
	return path, nil
}

// process is a running cheeseboard.
type process struct {
	*exec.Cmd
	output bytes.Buffer
	ended  chan struct{} // closed when it has ended and output is complete
	err    error         // after ended
}

// start runs the program with settings from a file.
func start(t testing.TB, c app.Config, arguments ...string) *process {
	t.Helper()
	path, err := binary()
	must(t, err)
	file := filepath.Join(filepath.Dir(c.Data), "cheeseboard.toml")
	must(t, os.WriteFile(file, app.RenderConfig(c), 0o644))
	p := &process{ended: make(chan struct{})}
	p.Cmd = exec.Command(path, append([]string{"--config", file}, arguments...)...)
	p.Env = []string{"HOME=" + t.TempDir()} // no proxy, no settings of whoever runs the test
	p.Stdout, p.Stderr = &p.output, &p.output
	must(t, p.Start())
	go func() {
		defer close(p.ended)
		p.err = p.Cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill() // most have ended by themselves
		<-p.ended
	})
	return p
}

// kill ends the process as a power cut would, as far as a program can tell. It
// reports false where it had ended by itself.
func (p *process) kill() bool {
	_ = p.Process.Kill() // an error means that it has ended
	<-p.ended
	var exit *exec.ExitError
	return errors.As(p.err, &exit) && !exit.Exited()
}

// finished waits for the process to end by itself.
func (p *process) finished(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		t.Fatalf("%s does not end", p)
	}
	if p.err != nil {
		t.Errorf("%s: %v\n%s", p, p.err, p.output.String())
	}
}
