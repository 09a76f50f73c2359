package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// client is a program that fetches the file into a folder.
type client struct {
	name string
	ours bool // its figures are printed for machines too
	// fetch gives the path of what was fetched, and a remark.
	fetch func(ctx context.Context, b *bench, folder string) (got, remark string)
}

func clients() []client {
	return []client{
		{"cheeseboard sync", true, fetchBox},
		tool("curl --retry 100 -C -", "curl", func(address, got string) []string {
			return []string{"-sS", "--retry", "100", "--retry-all-errors", "--retry-delay", "0", "--retry-max-time", "20", "-C", "-", "-o", got, address}
		}),
		{"curl -C - in a loop", false, loop("curl", func(address, got string) []string {
			return []string{"-sS", "-C", "-", "-o", got, address}
		})},
		tool("wget -c", "wget", func(address, got string) []string {
			return []string{"-q", "-c", "--tries=0", "--waitretry=0", "-O", got, address}
		}),
		tool("aria2c -m0", "aria2c", func(address, got string) []string {
			return []string{"-q", "-m0", "--retry-wait=0", "--allow-overwrite=true", "-d", filepath.Dir(got), "-o", filepath.Base(got), address}
		}),
		{"pip download", false, fetchPip},
	}
}

// fetchBox is a box of its own that syncs the one project.
func fetchBox(ctx context.Context, b *bench, folder string) (string, string) {
	data := filepath.Join(folder, "data")
	out, err := b.sync(ctx, data).CombinedOutput()
	if err != nil {
		return blob(data), lastLine(out, err)
	}
	return blob(data), ""
}

func (b *bench) sync(ctx context.Context, data string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.box, "sync", "--data", data, "--set", "upstream.url="+b.server.IndexURL(),
		"--set", "sync.projects=gouda", "--set", "storage.reserve=0")
	cmd.Env = plainEnvironment()
	return cmd
}

// tool runs a program once.
func tool(name, program string, arguments func(address, got string) []string) client {
	return client{name, false, func(ctx context.Context, b *bench, folder string) (string, string) {
		got := filepath.Join(folder, filename)
		cmd := exec.CommandContext(ctx, program, arguments(b.server.FileURL(filename), got)...)
		cmd.Env = plainEnvironment()
		out, err := cmd.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			return "", "not installed"
		}
		if ctx.Err() != nil {
			return got, "not done in time"
		}
		if err != nil {
			return got, lastLine(out, err)
		}
		return got, ""
	}}
}

// loop runs a program again and again until it says that it is done.
func loop(program string, arguments func(address, got string) []string) func(context.Context, *bench, string) (string, string) {
	once := tool("", program, arguments)
	return func(ctx context.Context, b *bench, folder string) (string, string) {
		for {
			got, remark := once.fetch(ctx, b, folder)
			if remark == "" || remark == "not installed" || ctx.Err() != nil {
				return got, remark
			}
		}
	}
}

func fetchPip(ctx context.Context, b *bench, folder string) (string, string) {
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir",
		"--index-url", b.server.IndexURL(), "-d", folder, "gouda")
	cmd.Env = plainEnvironment()
	out, err := cmd.CombinedOutput()
	version := "pip"
	if v, err := exec.CommandContext(ctx, "python3", "-m", "pip", "--version").Output(); err == nil {
		version = strings.Join(strings.Fields(string(v))[:2], " ")
	}
	if err != nil {
		return filepath.Join(folder, filename), version + ": " + lastLine(out, err)
	}
	return filepath.Join(folder, filename), version
}

// killed is a box that is killed at each tenth cut and started again.
func (b *bench) killed(ctx context.Context, every int64) (row, error) {
	r := row{client: "cheeseboard sync, kill -9", cut: "1 MB"}
	b.server.Truth()
	b.server.Forget()
	file := upstreamtest.OnFile(filename)
	b.server.Tell(file, upstreamtest.CutAfter(every), 0)
	data, err := os.MkdirTemp(b.folder, "killed-")
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	begun := time.Now()
	kills := 0
	for done := false; !done; {
		cmd := b.sync(ctx, data)
		seen := len(b.server.Requests().On(file))
		if err := cmd.Start(); err != nil {
			return r, err
		}
		watch, stop := context.WithCancel(ctx)
		killed := make(chan bool, 1)
		go func() {
			err := b.server.Wait(watch, func(all upstreamtest.Requests) bool { return len(all.On(file)) >= seen+10 })
			if err == nil {
				err = cmd.Process.Kill()
			}
			killed <- err == nil
		}()
		err := cmd.Wait()
		stop()
		if <-killed {
			kills++
		}
		if done = err == nil; !done && ctx.Err() != nil {
			return r, fmt.Errorf("a box that is killed now and then did not get done: %w", ctx.Err())
		}
	}
	r.took = time.Since(begun)
	return b.judge(r, blob(data), fmt.Sprintf("%d times killed, at %d MB/s", kills, killRate>>20)), nil
}

// plainEnvironment leaves out what would lead the clients elsewhere.
func plainEnvironment() []string {
	var out []string
	for _, v := range os.Environ() {
		name := strings.ToUpper(v[:strings.IndexByte(v, '=')])
		if !strings.HasPrefix(name, "PIP_") && !strings.HasPrefix(name, "CHEESEBOARD_") && !strings.HasSuffix(name, "_PROXY") {
			out = append(out, v)
		}
	}
	return out
}

func lastLine(out []byte, err error) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "ERROR:") {
			lines = append(lines, line)
			break
		}
	}
	if s := strings.TrimSpace(lines[len(lines)-1]); s != "" {
		if len(s) > 60 {
			s = s[:60] + "…"
		}
		return s
	}
	return err.Error()
}
