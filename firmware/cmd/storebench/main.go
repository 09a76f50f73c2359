// Command storebench measures what all of an index's metadata cost a small board:
// bytes on the disk, memory inside of limits, bytes written to the device, times.
// The index is synthetic (see storage/population) and is streamed: no process
// holds it. scripts/bench store calls it.
//
// It starts itself again for each measurement, so that every process is limited
// and looked at alone, and cheeseboard, which serves what was ingested.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"cheeseboard/storage/population"
)

// seed of the population that is measured.
const seed = 20261122

// Limits of memory in bytes.
const (
	ingestLimit = 128 << 20
	serveLimit  = 64 << 20
)

func main() {
	b := &bench{}
	child := flag.String("child", "", "what to measure; storebench says this to itself")
	c := &childOptions{}
	flag.StringVar(&c.dir, "dir", "", "of a child: the data folder")
	flag.IntVar(&c.group, "group", 0, "of a child: pages in one transaction")
	flag.BoolVar(&c.addresses, "addresses", false, "of a child: keep upstream addresses")
	flag.IntVar(&c.projects, "of", 0, "of a child: projects in the population")
	flag.IntVar(&c.day, "day", 0, "of a child: releases since day 0")
	flag.IntVar(&b.projects, "projects", 50_000, "projects in the index")
	flag.IntVar(&b.days, "days", 3, "days of updates")
	flag.BoolVar(&b.yardstick, "bbolt", true, "measure bbolt too")
	flag.StringVar(&b.box, "cheeseboard", "", "the cheeseboard program")
	flag.StringVar(&b.folder, "folder", "", "where to work; a folder in it is made and removed (default: the system's for temporary files)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := b.run
	if *child != "" {
		run = func(ctx context.Context) error { return runChild(ctx, *child, c) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "storebench:", err)
		os.Exit(1)
	}
}

// bench is one run of all measurements.
type bench struct {
	projects, days int
	yardstick      bool
	box, folder    string

	population *population.Population
	upstream   *upstream
	confine    *confinement
	device     *device
	dir        string // on the device
	report     report
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.box == "" {
		return errors.New("which program? give it with -cheeseboard")
	}
	b.population = population.New(seed, b.projects)
	if b.folder, err = os.MkdirTemp(b.folder, "storebench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	b.confine = findConfinement(ctx)
	defer func() { err = errors.Join(err, b.confine.close()) }()
	if b.device, err = openDevice(ctx, b.folder, int64(b.projects)*16_000+2<<30); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.device.close()) }()
	b.dir = b.device.dir
	if b.upstream, err = startUpstream(b.population); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.upstream.close()) }()
	b.report.say("memory is limited by %s; the device is %s", b.confine, b.device)

	for _, step := range []func(context.Context) error{b.ingest, b.opening, b.asked, b.serving, b.updating, b.smallGroups, b.withAddresses, b.bolt} {
		if err := step(ctx); err != nil {
			return errors.Join(err, b.report.print(os.Stdout))
		}
	}
	return b.report.print(os.Stdout)
}

// data is a data folder of that name.
func (b *bench) data(name string) string { return filepath.Join(b.dir, name) }
