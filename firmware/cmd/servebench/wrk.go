package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// load is what wrk is to do.
type load struct {
	path        string
	headers     []string
	connections int
	seconds     int // whole ones: wrk takes no parts
}

// outcome is what wrk has seen, and what the server used for it.
type outcome struct {
	requests  float64 // in all
	rate      float64 // a second
	read      float64 // bytes in all, also of answers that were cut off at the end
	bytes     float64 // a second
	p50, p99  time.Duration
	processor time.Duration // of the server, in all
}

// run has wrk ask a server. Any answer that says no, or none at all, is an error.
func (l load) run(ctx context.Context, s *server) (outcome, error) {
	args := []string{"-t", strconv.Itoa(min(l.connections, 2)), "-c", strconv.Itoa(l.connections),
		"-d", fmt.Sprintf("%ds", l.seconds), "--timeout", "30s", "--latency"}
	for _, h := range l.headers {
		args = append(args, "-H", h)
	}
	before, err := cpu(s.pids)
	if err != nil {
		return outcome{}, err
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, s.root+l.path)...).CombinedOutput()
	if err != nil {
		return outcome{}, fmt.Errorf("wrk: %w: %s (install it, e.g. with apt-get install wrk)", err, out)
	}
	after, err := cpu(s.pids)
	if err != nil {
		return outcome{}, err
	}
	o, err := parseWrk(string(out))
	o.processor = after - before
	if err != nil {
		return o, fmt.Errorf("%s%s: %w:\n%s", s.name, l.path, err, out)
	}
	return o, nil
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkRead     = regexp.MustCompile(`(?m) requests in \S+ ([\d.]+)([KMGT]?B) read`)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec:\s+([\d.]+)`)
	wrkBytes    = regexp.MustCompile(`(?m)^Transfer/sec:\s+([\d.]+)([KMGT]?B)`)
	wrkTimes    = regexp.MustCompile(`(?m)^\s+(50|99)%\s+([\d.]+(?:us|ms|s|m))\s*$`)
)

// parseWrk reads what wrk prints with --latency.
func parseWrk(text string) (o outcome, err error) {
	for _, bad := range []string{"Non-2xx or 3xx", "Socket errors"} {
		if strings.Contains(text, bad) {
			return o, errors.New("wrk complains")
		}
	}
	number := func(expression *regexp.Regexp) (float64, string) {
		m := expression.FindStringSubmatch(text)
		if m == nil {
			err = fmt.Errorf("what wrk prints has no %s", expression)
			return 0, ""
		}
		n, parseErr := strconv.ParseFloat(m[1], 64)
		if parseErr != nil {
			err = parseErr
		}
		return n, m[len(m)-1]
	}
	o.requests, _ = number(wrkRequests)
	o.rate, _ = number(wrkRate)
	amount := func(expression *regexp.Regexp) float64 {
		n, unit := number(expression)
		return n * map[string]float64{"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}[unit]
	}
	o.bytes, o.read = amount(wrkBytes), amount(wrkRead)
	for _, m := range wrkTimes.FindAllStringSubmatch(text, -1) {
		d, parseErr := time.ParseDuration(m[2])
		if parseErr != nil {
			err = parseErr
		}
		if m[1] == "50" {
			o.p50 = d
		} else {
			o.p99 = d
		}
	}
	if err == nil && o.rate == 0 && o.bytes == 0 {
		err = errors.New("nothing was answered")
	}
	return o, err
}
