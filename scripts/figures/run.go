package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// effort says how thoroughly to measure.
type effort struct {
	benchtime string // per benchmark, as for go test -benchtime
	count     int    // runs of each benchmark
	budget    time.Duration
}

// testPackage is a package that has benchmarks.
type testPackage struct {
	ImportPath   string
	Dir          string
	Module       struct{ Path string }
	TestGoFiles  []string
	XTestGoFiles []string
	binary       string
}

func (p testPackage) local() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
}

// measure compiles the tests of the packages that have benchmarks, and then runs
// them one after another. The budget counts from the end of compiling. What was
// measured is returned also beside an error.
func measure(ctx context.Context, effort effort, match string, patterns []string) ([]measurement, error) {
	packages, err := withBenchmarks(ctx, patterns)
	if err != nil {
		return nil, err
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("no benchmarks in %s", strings.Join(patterns, " "))
	}
	dir, err := os.MkdirTemp("", "cheeseboard-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for test programs: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // only test programs are lost space
	for i, p := range packages {
		packages[i].binary = filepath.Join(dir, fmt.Sprintf("%d.test", i))
		fmt.Fprintf(os.Stderr, "bench: compile %s\n", p.local())
		if _, err := runGo(ctx, "test", "-c", "-o", packages[i].binary, p.ImportPath); err != nil {
			return nil, err
		}
	}

	limited, cancel := context.WithTimeout(ctx, effort.budget)
	defer cancel()
	var all []measurement
	var failures []error
	for _, p := range packages {
		if limited.Err() != nil {
			failures = append(failures, fmt.Errorf("measure %s: not begun", p.local()))
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: measure %s\n", p.local())
		measured, err := p.run(limited, effort, match)
		all = append(all, measured...)
		if err != nil {
			failures = append(failures, err)
		}
	}
	if ctx.Err() == nil && limited.Err() != nil {
		failures = append(failures, fmt.Errorf("the budget of %v is spent; -budget gives more time, -match chooses", effort.budget))
	}
	if len(all) == 0 && len(failures) == 0 {
		failures = append(failures, fmt.Errorf("no benchmark matches %q", match))
	}
	return all, errors.Join(failures...)
}

// withBenchmarks lists the packages whose test files define a benchmark.
func withBenchmarks(ctx context.Context, patterns []string) ([]testPackage, error) {
	out, err := runGo(ctx, append([]string{"list", "-json=ImportPath,Dir,Module,TestGoFiles,XTestGoFiles"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	var found []testPackage
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p testPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			source, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, fmt.Errorf("look for benchmarks: %w", err)
			}
			if bytes.Contains(source, []byte("\nfunc Benchmark")) {
				found = append(found, p)
				break
			}
		}
	}
}

// run runs one package's benchmarks and passes their output on as it comes.
func (p testPackage) run(ctx context.Context, effort effort, match string) ([]measurement, error) {
	cmd := exec.CommandContext(ctx, p.binary, "-test.run=^$", "-test.bench="+match, "-test.benchmem",
		"-test.benchtime="+effort.benchtime, fmt.Sprintf("-test.count=%d", effort.count))
	cmd.Dir = p.Dir
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 2 * time.Second // a child of the benchmark may hold the pipe
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", p.local(), err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("measure %s: %w", p.local(), err)
	}
	var measured []measurement
	var other []string // what explains a failure
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m, ok := parseLine(p.local(), lines.Text(), runtime.GOMAXPROCS(0)); ok {
			measured = append(measured, m)
			fmt.Fprintf(os.Stderr, "bench:   %s\n", m.name)
		} else {
			other = append(other, lines.Text())
		}
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		if ctx.Err() != nil {
			return measured, fmt.Errorf("measure %s: stopped after %d measurements", p.local(), len(measured))
		}
		return measured, fmt.Errorf("measure %s: %w\n%s", p.local(), err, strings.Join(other, "\n"))
	}
	return measured, nil
}

// runGo runs the go command and returns what it prints.
func runGo(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
