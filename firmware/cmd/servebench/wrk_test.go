package main

import (
	"os"
	"path/filepath"
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

func TestShares(t *testing.T) {
	name := filepath.Join(t.TempDir(), "smaps")
	const text = `55665cb2a000-55665cb2c000 r--p 00000000 fe:00 247278                     /usr/bin/box
Pss:                  40 kB
Pss_Dirty:             4 kB
Anonymous:             8 kB
c000000000-c000800000 rw-p 00000000 00:00 0 
Pss:                 100 kB
Anonymous:           100 kB
VmFlags: rd wr mr mw me ac sd 
7f0000000000-7f0000001000 rw-s 00000000 fe:00 9                          /srv/data/meta/000001.sst
Pss:                  16 kB
Anonymous:             0 kB
7f0000001000-7f0000002000 r--p 00000000 fe:00 9                          /srv/database
Pss:                   4 kB
Anonymous:             0 kB
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got shares
	if err := got.add(name, "/srv/data"); err != nil {
		t.Fatal(err)
	}
	if want := (shares{anonymous: 108 << 10, store: 16 << 10, program: 36 << 10}); got != want {
		t.Errorf("%+v instead of %+v", got, want)
	}
}
