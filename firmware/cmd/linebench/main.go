// Command linebench measures what a line that is cut costs: how many bytes cross
// it for each byte that arrives, for a cheeseboard and for other clients, from
// one index in one run. scripts/bench calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

func main() {
	size := flag.Int("mb", 50, "megabytes of the file")
	patience := flag.Duration("patience", 2*time.Minute, "how long one client may take")
	box := flag.String("cheeseboard", "", "the cheeseboard program")
	large := flag.Bool("large", false, "only a cheeseboard and one large file, through 2,000 cuts, with its memory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	measure := func() error { return run(ctx, *box, *size<<20, *patience) }
	if *large {
		measure = func() error { return runLarge(ctx, *box, int64(*size)<<20) }
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "linebench:", err)
		os.Exit(1)
	}
}

// killRate is the line's, in bytes per second, while programs are killed.
const killRate = 8 << 20

const filename = "gouda-1.0-py3-none-any.whl"

// bench is one index with one large file, and a folder for the clients.
type bench struct {
	server   *upstreamtest.Server
	content  []byte
	folder   string
	box      string
	patience time.Duration
}

// row is what one client did at one cut.
type row struct {
	client   string
	cut      string
	arrived  bool
	ratio    float64 // bytes of body sent ÷ length of the file
	requests int
	took     time.Duration
	remark   string
}

func run(ctx context.Context, box string, size int, patience time.Duration) (err error) {
	if box == "" {
		return errors.New("which program? give it with -cheeseboard")
	}
	b := &bench{box: box, patience: patience}
	if b.folder, err = os.MkdirTemp("", "linebench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	index := upstreamtest.NewIndex()
	if _, err := index.AddWheel(upstreamtest.Wheel{Name: "gouda", Version: "1.0", Payload: size}); err != nil {
		return err
	}
	b.content, _ = index.Content(filename)
	b.server = upstreamtest.NewServer(index)
	if err := b.server.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Close()) }()

	var rows []row
	keys := make(map[string]float64)
	for _, cut := range []struct {
		name, key string
		every     int64
	}{{"1 MB", "1mb", 1 << 20}, {"64 KB", "64kb", 64 << 10}} {
		for _, c := range clients() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Fprintf(os.Stderr, "linebench: %s, cut every %s\n", c.name, cut.name)
			r, err := b.measure(ctx, c, cut.name, cut.every)
			if err != nil {
				return err
			}
			rows = append(rows, r)
			if c.ours {
				keys["payload_ratio_"+cut.key] = r.ratio
			}
		}
	}
	fmt.Fprintln(os.Stderr, "linebench: cheeseboard, killed at each tenth cut")
	// A kill loses what stands in the buffers of both kernels: without a rate
	// these fill, on loopback, with megabytes that no line would have carried.
	b.server.SetBandwidth(killRate)
	r, err := b.killed(ctx, 1<<20)
	if err != nil {
		return err
	}
	rows = append(rows, r)
	keys["payload_ratio_kill"] = r.ratio
	return report(os.Stdout, rows, keys, len(b.content))
}

func report(w io.Writer, rows []row, keys map[string]float64, size int) error {
	_, err := fmt.Fprintf(w, "a file of %.1f MB over a line that ends each connection after so many bytes\n\n%-28s %-8s %-8s %8s %9s %8s  %s\n",
		float64(size)/1e6, "client", "cut", "arrived", "ratio", "requests", "seconds", "")
	for _, r := range rows {
		arrived := "yes"
		if !r.arrived {
			arrived = "NO"
		}
		_, e := fmt.Fprintf(w, "%-28s %-8s %-8s %8.3f %9d %8.1f  %s\n", r.client, r.cut, arrived, r.ratio, r.requests, r.took.Seconds(), r.remark)
		err = errors.Join(err, e)
	}
	_, e := fmt.Fprintln(w)
	err = errors.Join(err, e)
	for _, key := range []string{"payload_ratio_1mb", "payload_ratio_64kb", "payload_ratio_kill"} {
		_, e := fmt.Fprintf(w, "%s: %.4f\n", key, keys[key])
		err = errors.Join(err, e)
	}
	return err
}

// measure lets one client fetch the file over a fresh line.
func (b *bench) measure(ctx context.Context, c client, cutName string, every int64) (row, error) {
	r := row{client: c.name, cut: cutName}
	folder, err := os.MkdirTemp(b.folder, "client-")
	if err != nil {
		return r, err
	}
	b.server.Truth()
	b.server.Forget()
	b.server.Tell(upstreamtest.OnFile(filename), upstreamtest.CutAfter(every), 0)
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	begun := time.Now()
	got, remark := c.fetch(ctx, b, folder)
	r.took = time.Since(begun)
	return b.judge(r, got, remark), nil
}

// judge fills in what the index saw and what the client has.
func (b *bench) judge(r row, got, remark string) row {
	requests := b.server.Requests().On(upstreamtest.OnFile(filename))
	r.requests = len(requests)
	r.ratio = float64(requests.Body()) / float64(len(b.content))
	r.remark = remark
	if got == "" {
		return r
	}
	have, err := os.ReadFile(got)
	switch {
	case err != nil:
		r.remark += " no file"
	case len(have) == len(b.content) && string(have) == string(b.content):
		r.arrived = true
	case len(have) >= len(b.content):
		r.remark += fmt.Sprintf(" left %.1f MB that are WRONG", float64(len(have))/1e6)
	default:
		r.remark += fmt.Sprintf(" kept %.1f MB", float64(len(have))/1e6)
	}
	return r
}

// blob is where a cheeseboard with this data folder keeps the file; "" where it
// does not.
func blob(data string) string {
	found, err := filepath.Glob(filepath.Join(data, "blobs", "*", "*"))
	if err != nil {
		return ""
	}
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.Size() > 1<<20 {
			return path
		}
	}
	return ""
}
