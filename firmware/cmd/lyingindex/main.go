// Command lyingindex serves a small package index on loopback that lies on request: it
// cuts, stalls, falsifies and dies as real upstreams and lines do. It is a tool
// for trying clients and Cheeseboard itself by hand.
//
//	lyingindex -lie 'file:stilton-*.whl cut:65536 3' -bandwidth 25000
//	pip download --no-deps --index-url http://127.0.0.1:PORT/simple/ stilton
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lyingindex:", err)
		os.Exit(1)
	}
}

type options struct {
	listen, control string
	seed            uint64
	bandwidth       int64
	latency         time.Duration
	split           bool
	dialect         upstreamtest.Dialect
	lies, files     []string
}

func parse(args []string, errOut io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("lyingindex", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "`address` of the index")
	flags.StringVar(&o.control, "control", "127.0.0.1:0", "`address` where lies can be told while it runs")
	flags.Uint64Var(&o.seed, "seed", 1, "varies the filler in the sample files")
	flags.Int64Var(&o.bandwidth, "bandwidth", 0, "bytes per second over all connections; 0 for no limit")
	flags.DurationVar(&o.latency, "latency", 0, "hold every answer back by so much")
	flags.BoolVar(&o.split, "split-files", false, "serve files on a port of their own")
	flags.BoolVar(&o.dialect.HTMLOnly, "html-only", false, "no JSON, as a static tree")
	flags.BoolVar(&o.dialect.Bare, "bare", false, "API 1.0: no sizes, upload times, versions, statuses")
	flags.BoolVar(&o.dialect.NoSerials, "no-serials", false, "no change counter")
	flags.BoolVar(&o.dialect.NoValidators, "no-validators", false, "neither ETag nor Last-Modified")
	flags.BoolVar(&o.dialect.NoMetadata, "no-metadata", false, "no metadata apart from the files")
	flags.BoolVar(&o.dialect.NoRanges, "no-ranges", false, "ignore Range")
	flags.BoolVar(&o.dialect.RelativeURLs, "relative-urls", false, "file URLs are relative to the page")
	flags.Func("lie", "tell a lie, `'TARGET LIE [TIMES]'`; may be given again", collect(&o.lies))
	flags.Func("add", "add a wheel or sdist, `PROJECT=FILE`; may be given again", collect(&o.files))
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

func collect(into *[]string) func(string) error {
	return func(s string) error {
		*into = append(*into, s)
		return nil
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	o, err := parse(args, errOut)
	if err != nil {
		return err
	}
	index := upstreamtest.SampleIndex(o.seed)
	if err := addFiles(index, o.files); err != nil {
		return err
	}
	server := upstreamtest.NewServer(index)
	server.Dialect, server.SplitFiles = o.dialect, o.split
	server.SetBandwidth(o.bandwidth)
	server.SetLatency(o.latency)
	for _, lie := range o.lies {
		if _, err := server.TellText(lie); err != nil {
			return err
		}
	}
	if err := server.StartAt(o.listen); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	l, err := net.Listen("tcp", o.control)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	control := &http.Server{Handler: server.Control(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- control.Serve(l) }()
	announce(out, server, l.Addr())
	select {
	case <-ctx.Done():
		err = control.Close()
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
	case err = <-served:
	}
	return err
}

func addFiles(index *upstreamtest.Index, files []string) error {
	for _, spec := range files {
		project, path, ok := strings.Cut(spec, "=")
		if !ok {
			return fmt.Errorf("add %q: want PROJECT=FILE", spec)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("add file: %w", err)
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if err := index.AddFile(project, name, content, upstreamtest.Facts{}); err != nil {
			return err
		}
	}
	return nil
}

// announce prints where everything is and what can be told. If nobody reads it,
// the server serves all the same.
func announce(out io.Writer, server *upstreamtest.Server, control net.Addr) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	say("index    %s\nfiles    %s\ncontrol  http://%s\n\nprojects\n", server.IndexURL(), server.FilesURL(), control)
	for _, name := range server.Index.Projects() {
		say("  %-12s %d files\n", name, len(server.Index.Filenames(string(name))))
	}
	say("\ntargets: all root page:PROJECT file:NAME metadata:NAME path:PATH, with * ? []\nlies\n")
	for _, known := range upstreamtest.Catalogue() {
		say("  %-26s %s\n", known.Form, known.Meaning)
	}
	say("\nwhile it runs: curl -X POST 'http://%s/tell?lie=page:cheddar+status:503,3+2'\n", control)
	say("               also /truth /kill /revive /blackhole?on=true, and GET /requests\n")
}
