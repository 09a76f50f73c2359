package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// storms are the times that all pips of a round took.
type storms struct {
	box, nginx []time.Duration
	missing    error // why there was none
}

// storm lets many pips download the same project with its dependencies at once,
// from one server and then from the other.
func (b *bench) storm(ctx context.Context) (s storms, err error) {
	if b.pips == 0 {
		return s, nil
	}
	if out, err := exec.CommandContext(ctx, "python3", "-m", "pip", "--version").CombinedOutput(); err != nil {
		s.missing = fmt.Errorf("python3 -m pip does not run: %w: %s", err, out)
		return s, nil
	}
	for round := range b.storms {
		say("storm %d of %d: %d pips at once", round+1, b.storms, b.pips)
		ours, err := b.pipsFrom(ctx, b.box)
		if err != nil {
			return s, err
		}
		theirs, err := b.pipsFrom(ctx, b.nginx)
		if err != nil {
			return s, err
		}
		s.box, s.nginx = append(s.box, ours), append(s.nginx, theirs)
	}
	return s, nil
}

// pipsFrom gives the time until the last of them is through.
func (b *bench) pipsFrom(ctx context.Context, s *server) (took time.Duration, err error) {
	at, err := url.Parse(s.root)
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp(b.folder, "storm-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	failed := make([]error, b.pips)
	var running sync.WaitGroup
	begun := time.Now()
	for n := range b.pips {
		running.Go(func() {
			into := filepath.Join(folder, fmt.Sprint(n))
			cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "--isolated", "download", "--quiet", "--no-cache-dir", "--disable-pip-version-check",
				"--index-url", s.root+"/simple/", "--trusted-host", at.Host, "--dest", into, storm)
			cmd.Env = quiet(os.Environ())
			if out, err := cmd.CombinedOutput(); err != nil {
				failed[n] = fmt.Errorf("pip from %s: %w: %s", s.name, err, out)
				return
			}
			if got, err := os.ReadDir(into); err != nil || len(got) != 1+len(dependencies) {
				failed[n] = fmt.Errorf("pip from %s brought %d files instead of %d: %w", s.name, len(got), 1+len(dependencies), err)
			}
		})
	}
	running.Wait()
	return time.Since(begun), errors.Join(failed...)
}

// quiet leaves out of an environment what would lead pip elsewhere.
func quiet(environment []string) []string {
	var out []string
	for _, e := range environment {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "PIP_") && !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			out = append(out, e)
		}
	}
	return out
}
