// Command scrubbench measures what reading all files again costs those who install
// meanwhile, and shows that it finds and mends what a disk has changed.
// scripts/bench scrub calls it.
//
// It fills a box from an index on loopback. Then it measures how long answers take,
// in turns of a few seconds with the scrub and without, at the rate that is the
// default: not as it is in life, where the scrub waits while people install, but
// with that switched off. Then it flips one bit in each of five files, and lets the
// scrub go as fast as the disk does until all are found and here again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"cheeseboard/firmware/app"
)

func main() {
	b := &bench{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
	gigabytes := flag.Float64("gb", 10, "gigabytes of files")
	flag.IntVar(&b.rounds, "rounds", 5, "measurements of the ratio")
	flag.DurationVar(&b.turn, "turn", 2*time.Second, "time of a turn with the scrub or without")
	flag.IntVar(&b.turns, "turns", 10, "turns of each kind in a round")
	folder := flag.String("folder", "", "where to work; a folder in it is made and removed (default: the system's for temporary files)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, *folder, int64(*gigabytes*1e9)); err != nil {
		fmt.Fprintln(os.Stderr, "scrubbench:", err)
		os.Exit(1)
	}
}

type bench struct {
	rounds, turns int
	turn          time.Duration
	index         *index
	client        *http.Client
	data          string
	held          atomic.Bool // the scrub waits
}

func say(format string, a ...any) { fmt.Fprintf(os.Stderr, "scrubbench: "+format+"\n", a...) }

func (b *bench) run(ctx context.Context, folder string, bytes int64) (err error) {
	if b.data, err = os.MkdirTemp(folder, "scrubbench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.data)) }()
	say("make an index of %d MB", bytes/1e6)
	if b.index, err = newIndex(bytes); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.index.close()) }()
	say("bring %d files", len(b.index.files))
	if err := b.serve(ctx, "0", func(s *served) error { return s.sync(ctx) }); err != nil {
		return fmt.Errorf("fill the box: %w", err)
	}
	if err := b.serve(ctx, "2MB", func(s *served) error { return b.ratios(ctx, s) }); err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	if err := b.flip(); err != nil {
		return err
	}
	return b.serve(ctx, "1TB", func(s *served) error { return b.mend(ctx, s) })
}

// served is a box that serves.
type served struct {
	*app.App
	url string
}

// serve runs a box, whose scrub has a rate, while do runs.
func (b *bench) serve(ctx context.Context, rate string, do func(*served) error) error {
	set := []string{"data=" + b.data, "serve.listen=127.0.0.1:0", "upstream.url=" + b.index.url, "storage.scrub-rate=" + rate,
		"storage.reserve=0", "sync.latest=0", "sync.dependencies=false", "sync.projects=" + list(b.index.projects())}
	c, err := app.Settings{Set: set}.Load()
	if err != nil {
		return err
	}
	box, err := app.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	b.held.Store(true)
	box.Busy = b.held.Load
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- box.Serve(ctx, func(a net.Addr) { ready <- a }) }()
	select {
	case a := <-ready:
		err = do(&served{box, "http://" + a.String()})
	case err = <-ended:
		return errors.Join(err, box.Close())
	}
	cancel()
	return errors.Join(err, <-ended, box.Close())
}

func list(names []string) string {
	text := "["
	for _, n := range names {
		text += fmt.Sprintf("%q, ", n)
	}
	return text + "]"
}

// sync brings everything.
func (s *served) sync(ctx context.Context) error {
	return s.Sync(ctx, app.SyncOptions{}, func(app.Event) {})
}

// ratios measures the 99th percentile in turns, and prints how many times longer it
// is with the scrub.
func (b *bench) ratios(ctx context.Context, s *served) error {
	fmt.Printf("%-6s %14s %14s %14s %14s %8s\n", "round", "p50 without", "p50 with", "p99 without", "p99 with", "ratio")
	var ratios []float64
	for round := range b.rounds {
		var took [2][]time.Duration // without, with
		for turn := range 2 * b.turns {
			with := turn % 2
			b.held.Store(with == 0)
			some, err := b.load(ctx, s.url, b.turn, uint64(1000*round+turn/2))
			if err != nil {
				return err
			}
			took[with] = append(took[with], some...)
		}
		without, with := percentile(took[0], 99), percentile(took[1], 99)
		ratio := float64(with) / float64(without)
		ratios = append(ratios, ratio)
		fmt.Printf("%-6d %14v %14v %14v %14v %8.2f\n", round+1, percentile(took[0], 50), percentile(took[1], 50), without, with, ratio)
	}
	status, err := s.Status()
	if err != nil {
		return err
	}
	if status.Scrub.Round.Blobs == 0 {
		return errors.New("the scrub has read nothing meanwhile: the ratio means nothing")
	}
	slices.Sort(ratios)
	fmt.Printf("\nscrub_p99_ratio: %.2f\nscrub_p99_ratio_worst: %.2f\n", ratios[len(ratios)/2], ratios[len(ratios)-1])
	return nil
}

// damaged are the numbers of the files in which a bit is flipped, of 1000.
var damaged = []int{0, 213, 501, 777, 999}

func (b *bench) damaged() []*file {
	var files []*file
	for _, n := range damaged {
		files = append(files, &b.index.files[n*(len(b.index.files)-1)/999])
	}
	return files
}

// flip changes one bit in each of five files.
func (b *bench) flip() error {
	for _, f := range b.damaged() {
		path := b.path(f)
		if err := os.Chmod(path, 0o644); err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		bit := make([]byte, 1)
		_, err = file.ReadAt(bit, f.size/2)
		if err == nil {
			bit[0] ^= 0x10
			_, err = file.WriteAt(bit, f.size/2)
		}
		if err = errors.Join(err, file.Sync(), file.Close(), os.Chmod(path, 0o444)); err != nil {
			return err
		}
	}
	return nil
}

// mend lets the scrub go until it has read everything, and what was damaged is here
// again; clients ask meanwhile.
func (b *bench) mend(ctx context.Context, s *served) error {
	before, err := s.Status()
	if err != nil {
		return err
	}
	say("read everything, as fast as it goes")
	b.held.Store(false)
	begun := time.Now()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var status app.Status
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if status, err = s.Status(); err != nil {
			return err
		}
		if status.Scrub.Last.Ended.After(before.Scrub.Last.Ended) && status.Scrub.Lost == 0 {
			break
		}
	}
	took := time.Since(begun)
	return b.judge(s, status.Scrub, took)
}

// judge prints what became of the damaged files. All must have been found, and be
// here again.
func (b *bench) judge(s *served, scrub app.Scrub, took time.Duration) error {
	found := 0
	for _, f := range b.damaged() {
		for _, d := range scrub.Damages {
			if d.What == f.name {
				found++
			}
		}
	}
	back := 0
	for _, f := range b.damaged() {
		resp, err := b.client.Get(fmt.Sprintf("%s/files/%s/%x/%s", s.url, f.project, f.sha256, f.name))
		if err != nil {
			return err
		}
		same, err := f.equals(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if same {
			back++
		}
	}
	quarantined, err := os.ReadDir(b.data + "/quarantine")
	if err != nil {
		return err
	}
	last := scrub.Last
	fmt.Printf("scrub_gb: %.2f\nscrub_files: %d\nscrub_flipped: %d\nscrub_found: %d\nscrub_quarantined: %d\nscrub_fetched_again: %d\nscrub_seconds: %.1f\n",
		float64(last.Bytes)/1e9, last.Blobs, len(damaged), found, len(quarantined), back, took.Seconds())
	if found != len(damaged) || back != len(damaged) || last.Damaged != len(damaged) {
		return fmt.Errorf("%d damaged files were found, %d are here again, of %d", found, back, len(damaged))
	}
	return nil
}
