package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/syncer/farline"
)

// attempt is one client on one course.
type attempt struct {
	*bench
	course
	server *server
	near   *farline.Host
	folder string
}

// client is a program that fetches a load.
type client struct {
	name    string
	command func(ctx context.Context, a attempt) (*exec.Cmd, error)
	// arrived counts the bytes of files that are whole.
	arrived func(folder string, l *load) int64
}

// clients are those that are compared.
func clients() []client {
	return []client{
		{"cheeseboard", box, inStore},
		{"aria2c -x16 -j16", aria, inFolder},
		{"curl --parallel", curl, inFolder},
	}
}

// carrier shows what the line carries: as many bytes as the load has, at once.
func carrier() client {
	return client{"one transfer", func(ctx context.Context, a attempt) (*exec.Cmd, error) {
		args := append(a.trust("--cacert"), "-sS", "--fail", "-o", "bulk", a.server.bulkURL(a.load.total()))
		return exec.CommandContext(ctx, "curl", args...), nil
	}, func(folder string, l *load) int64 {
		info, err := os.Stat(filepath.Join(folder, "bulk"))
		if err != nil {
			return 0
		}
		return info.Size()
	}}
}

// trust is the option that names the certificate, where there is one.
func (a attempt) trust(option string) []string {
	if !a.secured {
		return nil
	}
	return []string{option, a.authority()}
}

func (a attempt) authority() string { return filepath.Join(a.folder, "ca.pem") }

func box(ctx context.Context, a attempt) (*exec.Cmd, error) {
	ca := ""
	if a.secured {
		ca = a.authority()
	}
	config := filepath.Join(a.folder, "cheeseboard.toml")
	if err := os.WriteFile(config, []byte(a.load.settings(a.server.indexURL(), ca)), 0o644); err != nil {
		return nil, err
	}
	args := []string{"sync", "--config", config, "--data", filepath.Join(a.folder, "data")}
	if a.keep != "" {
		args = append(args, "--log-level", "debug")
	}
	return exec.CommandContext(ctx, a.bench.box, args...), nil
}

func aria(ctx context.Context, a attempt) (*exec.Cmd, error) {
	var list strings.Builder
	for _, name := range a.load.names {
		fmt.Fprintf(&list, "%s\n  out=%s\n", a.server.fileURL(name), name)
	}
	path := filepath.Join(a.folder, "list")
	if err := os.WriteFile(path, []byte(list.String()), 0o644); err != nil {
		return nil, err
	}
	args := append([]string{"-q", "-x16", "-j16", "-d", a.folder, "-i", path}, a.trust("--ca-certificate")...)
	return exec.CommandContext(ctx, "aria2c", args...), nil
}

func curl(ctx context.Context, a attempt) (*exec.Cmd, error) {
	var list strings.Builder
	for _, name := range a.load.names {
		fmt.Fprintf(&list, "url = %q\noutput = %q\n", a.server.fileURL(name), name)
	}
	path := filepath.Join(a.folder, "list")
	if err := os.WriteFile(path, []byte(list.String()), 0o644); err != nil {
		return nil, err
	}
	args := append([]string{"-sS", "--fail", "--parallel", "--config", path}, a.trust("--cacert")...)
	return exec.CommandContext(ctx, "curl", args...), nil
}

// run runs a client to its end, and tells what it used of the processors; the
// remark says what went wrong.
func (a attempt) run(ctx context.Context, c client) (remark string, cpu time.Duration) {
	cmd, err := c.command(ctx, a)
	if err != nil {
		return err.Error(), 0
	}
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = a.folder, plainEnvironment(), &out, &out
	if err := a.near.Start(cmd); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "not installed", 0
		}
		return err.Error(), 0
	}
	err = cmd.Wait()
	cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if a.keep != "" {
		name := strings.NewReplacer(" ", "-", "/", "").Replace(a.course.String() + " " + c.name)
		if err := os.WriteFile(filepath.Join(a.keep, name), out.Bytes(), 0o644); err != nil {
			return err.Error(), cpu
		}
	}
	switch {
	case ctx.Err() != nil:
		return "not done in time", cpu
	case err != nil:
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return fmt.Sprintf("%v: %.80s", err, lines[len(lines)-1]), cpu
	}
	return "", cpu
}

// plainEnvironment leaves out what would lead the clients elsewhere.
func plainEnvironment() []string {
	var out []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(v), "=")
		if !strings.HasPrefix(name, "CHEESEBOARD_") && !strings.HasSuffix(name, "_PROXY") {
			out = append(out, v)
		}
	}
	return out
}
