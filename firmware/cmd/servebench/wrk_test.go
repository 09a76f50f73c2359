package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

const said = `Running 3s test @ http://127.0.0.1:8080/simple/
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.99ms    3.12ms  51.77ms   91.70%
    Req/Sec     8.20k     2.26k   13.24k    66.67%
  Latency Distribution
     50%  842.00us
     75%    2.27ms
     90%    4.77ms
     99%   15.36ms
  49058 requests in 3.01s, 85.75MB read
Requests/sec:  16298.34
Transfer/sec:     28.49MB
`

func TestParseWrk(t *testing.T) {
	got, err := parseWrk(said)
	want := outcome{requests: 49058, rate: 16298.34, read: 85.75 * (1 << 20), bytes: 28.49 * (1 << 20), p50: 842 * time.Microsecond, p99: 15360 * time.Microsecond}
	if err != nil || got != want {
		t.Errorf("%+v, %v instead of %+v", got, err, want)
	}
	for what, text := range map[string]string{
		"refusals":       said + "  Non-2xx or 3xx responses: 3\n",
		"lost answers":   said + "  Socket errors: connect 0, read 4, write 0, timeout 0\n",
		"nothing at all": "",
		"no rate":        strings.Replace(said, "Requests/sec", "Requests", 1),
		"no answer":      strings.NewReplacer("16298.34", "0", "28.49MB", "0.00B").Replace(said),
	} {
		if o, err := parseWrk(text); err == nil {
			t.Errorf("%s: %+v and no error", what, o)
		}
	}
}

func TestSpread(t *testing.T) {
	if got, want := spreadOf([]float64{3, 1, 2}), (spread{middle: 2, least: 1, most: 3}); got != want {
		t.Errorf("%+v instead of %+v", got, want)
	}
	if got, want := spreadOf([]float64{4, 1, 2, 3}), (spread{middle: 2.5, least: 1, most: 4}); got != want {
		t.Errorf("%+v instead of %+v", got, want)
	}
}

// What is told of this very process must be plausible.
func TestProcess(t *testing.T) {
	pids, err := family(os.Getpid())
	if err != nil || pids[0] != os.Getpid() {
		t.Fatal(pids, err)
	}
	if _, err := cpu(pids[:1]); err != nil {
		t.Error(err)
	}
	if m := memoryOf(pids[:1]); m.own < 1<<20 || m.share < m.own {
		t.Errorf("%+v is not what a Go program needs", m)
	}
	if _, err := cpu([]int{-1}); err == nil {
		t.Error("the time of a process that is not there")
	}
}
