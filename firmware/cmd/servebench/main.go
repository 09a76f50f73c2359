// Command servebench measures cheeseboard against nginx on this machine: both give
// out the same bytes, and wrk asks them in turns, round after round, so that what
// else the machine does hits both. scripts/bench serve calls it.
//
// cheeseboard is the program itself with a store that was filled from an index, as
// in life; nginx has a static copy of what it answers. wrk and the servers share the
// machine, so the figures say how they compare and not what a client would see.
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
)

func main() {
	b := &bench{}
	flag.StringVar(&b.program, "cheeseboard", "", "the cheeseboard program")
	flag.StringVar(&b.against, "against", "", "another build of it, which takes nginx's place in the table: what a change brings, in one run")
	flag.StringVar(&b.folder, "folder", "", "where to work; a folder in it is made and removed (default: the system's for temporary files)")
	flag.StringVar(&b.match, "match", "", "only rows whose names contain this")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds, each with both servers")
	flag.IntVar(&b.seconds, "seconds", 3, "how long each is asked in each round")
	flag.IntVar(&b.projects, "projects", 5000, "projects in the root list")
	flag.IntVar(&b.connections, "connections", 32, "connections for what is small")
	flag.IntVar(&b.pips, "pips", 30, "pip downloads at once; 0: none")
	flag.IntVar(&b.storms, "storms", 3, "rounds of them")
	flag.IntVar(&b.crowded, "crowd", 0, "instead: so many seconds of a crowd")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "servebench:", err)
		os.Exit(1)
	}
}

// bench is one run of all measurements.
type bench struct {
	program, against          string
	folder, match             string
	rounds, seconds, projects int
	connections, pips, storms int
	crowded                   int // seconds
	index                     *index
	box, nginx                *server
	mostOfBox, mostOfNginx    memory
	shares                    shares // of the box, at the end
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.program == "" {
		return errors.New("which program? give it with -cheeseboard")
	}
	if b.folder, err = os.MkdirTemp(b.folder, "servebench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	// The workers of nginx, which are nobody where it is started by root, must get in.
	if err := os.Chmod(b.folder, 0o755); err != nil {
		return err
	}
	say("make an index, and a box of it")
	if b.index, err = newIndex(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.index.close()) }()
	data := filepath.Join(b.folder, "data")
	if err := fillStore(data, b.projects); err != nil {
		return err
	}
	if b.against != "" {
		if err := fillStore(data+"-against", b.projects); err != nil {
			return err
		}
	}
	if b.box, err = startBox(ctx, b.program, data, b.index.root()); err != nil {
		return err
	}
	defer func() {
		if b.box != nil {
			err = errors.Join(err, b.box.stop())
		}
	}()
	copies := &copier{from: b.box.root, tree: filepath.Join(b.folder, "tree")}
	if err := copies.all(ctx, b.index); err != nil {
		return fmt.Errorf("copy what the box answers: %w", err)
	}
	if b.crowded > 0 {
		return b.crowd(ctx, b.crowded)
	}
	// What bringing it in has left in memory is not what serving takes.
	if err := b.box.stop(); err != nil {
		return err
	}
	if b.box, err = startBox(ctx, b.program, data, b.index.root()); err != nil {
		return err
	}
	if err := forget(b.folder); err != nil {
		return err
	}
	if b.against == "" {
		b.nginx, err = startNginx(ctx, b.folder)
	} else {
		b.nginx, err = startBox(ctx, b.against, data+"-against", b.index.root())
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.nginx.stop()) }()
	return b.measure(ctx)
}

// measure asks both in turns, and prints what was seen.
func (b *bench) measure(ctx context.Context) error {
	rows, err := b.rows(ctx)
	if err != nil {
		return err
	}
	box, nginx := watch(b.box.pids), watch(b.nginx.pids)
	err = b.turns(ctx, rows)
	if err == nil {
		b.shares, err = sharesOf(b.box.pids, filepath.Join(b.folder, "data"))
	}
	b.mostOfBox, b.mostOfNginx = box.stop(), nginx.stop()
	if err != nil {
		return err
	}
	storms, err := b.storm(ctx)
	if err != nil {
		return err
	}
	return b.print(os.Stdout, rows, storms)
}

func say(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "servebench: "+format+"\n", a...)
}
