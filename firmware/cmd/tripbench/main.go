// Command tripbench measures how much of a long line a sync uses: small files and
// large ones over an emulated line of several round trips and rates, for a
// cheeseboard and for clients that fetch from a list, from one index in one run.
// scripts/bench calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/syncer/farline"
)

func main() {
	box := flag.String("cheeseboard", "", "the cheeseboard program")
	short := flag.Bool("short", false, "fewer lines and smaller files")
	match := flag.String("match", "", "only the runs whose name contains all of these words")
	keep := flag.String("keep", "", "a folder in which what the clients said is kept")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{box: *box, words: strings.Fields(*match), keep: *keep}
	if err := b.run(ctx, *short); err != nil {
		fmt.Fprintln(os.Stderr, "tripbench:", err)
		os.Exit(1)
	}
}

// bench is a run over all courses.
type bench struct {
	box    string
	words  []string
	keep   string
	folder string // for all that the clients store
}

// course is one line and what is to cross it.
type course struct {
	trip    time.Duration // round trip
	rate    int64         // bytes per second
	load    *load
	secured bool // HTTP/2 over TLS; else HTTP/1.1 in clear
}

func (c course) String() string {
	return fmt.Sprintf("%v %gMB/s %s %s", c.trip, float64(c.rate)/1e6, c.load.name, c.protocol())
}

func (c course) protocol() string {
	if c.secured {
		return "h2"
	}
	return "h1"
}

// result is what one client did on a course.
type result struct {
	client  string
	took    time.Duration
	payload int64 // bytes of files that arrived whole
	conns   int   // connections that it opened
	most    int   // of them, at the same time
	cpu     time.Duration
	remark  string
}

func (b *bench) run(ctx context.Context, short bool) (err error) {
	if b.box == "" {
		return errors.New("which program? give it with -cheeseboard")
	}
	if b.box, err = filepath.Abs(b.box); err != nil {
		return err
	}
	line, err := farline.New(farline.Options{})
	if err != nil {
		return err
	}
	if err := line.Close(); err != nil {
		return err
	}
	if b.folder, err = os.MkdirTemp("", "tripbench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	t := newTable(os.Stdout)
	for _, c := range courses(short) {
		if !b.wanted(c.String()) {
			continue
		}
		if err := c.load.make(); err != nil {
			return err
		}
		if err := b.measure(ctx, c, t); err != nil {
			return err
		}
	}
	return t.end()
}

// wanted tells whether a name contains all words that were asked for.
func (b *bench) wanted(name string) bool {
	for _, w := range b.words {
		if !strings.Contains(name, w) && !isClient(w) {
			return false
		}
	}
	return true
}

// isClient tells whether a word names a client: then it chooses among those.
func isClient(word string) bool {
	for _, c := range clients() {
		if strings.Contains(c.name, word) {
			return true
		}
	}
	return false
}

// courses are those that are measured, in order.
func courses(short bool) []course {
	small, large := &load{name: "small", files: 500, size: 100_000}, &load{name: "large", files: 5, size: 100_000_000}
	trips := []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 600 * time.Millisecond}
	rates := []int64{2_000_000, 10_000_000}
	if short {
		small.files, small.size, large.size = 200, 20_000, 2_000_000
		trips, rates = trips[1:2], rates[1:]
	}
	var out []course
	for _, trip := range trips {
		for _, rate := range rates {
			for _, secured := range []bool{false, true} {
				out = append(out, course{trip, rate, small, secured})
			}
		}
		// The large ones take their time at the smaller rate, and show nothing more.
		for _, secured := range []bool{false, true} {
			out = append(out, course{trip, rates[len(rates)-1], large, secured})
		}
	}
	return out
}

// measure lets every client run a course, each on a line of its own: the kernel
// remembers what it learned of one.
func (b *bench) measure(ctx context.Context, c course, t *table) error {
	bulk, err := b.carry(ctx, c, carrier())
	if err != nil {
		return err
	}
	if bulk.remark != "" {
		return fmt.Errorf("%v: measure the line: %s", c, bulk.remark)
	}
	if err := t.course(c, bulk); err != nil {
		return err
	}
	for _, client := range clients() {
		if !b.wanted(c.String()+" "+client.name) || !b.chosen(client.name) {
			continue
		}
		r, err := b.carry(ctx, c, client)
		if err != nil {
			return err
		}
		if err := t.client(c, bulk, r); err != nil {
			return err
		}
	}
	return nil
}

// chosen tells whether a client is to run: all do where none is named.
func (b *bench) chosen(client string) bool {
	named := false
	for _, w := range b.words {
		if isClient(w) {
			if strings.Contains(client, w) {
				return true
			}
			named = true
		}
	}
	return !named
}

// carry lets one client run a course.
func (b *bench) carry(ctx context.Context, c course, client client) (r result, err error) {
	line, err := farline.New(farline.Options{Delay: c.trip / 2, Rate: c.rate})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, line.Close()) }()
	s, err := serve(line, c)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	folder, err := os.MkdirTemp(b.folder, "client-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := s.writeCertificate(filepath.Join(folder, "ca.pem")); err != nil {
		return r, err
	}
	fmt.Fprintf(os.Stderr, "tripbench: %v: %s\n", c, client.name)
	// Four times what the rate asks for, and some for a start.
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(4*c.load.total()/c.rate)*time.Second)
	defer cancel()
	r.client = client.name
	a := attempt{bench: b, course: c, server: s, near: line.Near(), folder: folder}
	begun := time.Now()
	r.remark, r.cpu = a.run(ctx, client)
	r.took = time.Since(begun)
	r.payload = client.arrived(folder, c.load)
	r.conns, r.most = s.connections()
	return r, nil
}
