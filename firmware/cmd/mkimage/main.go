// Command mkimage builds the image for a card, and what accompanies it, out of programs
// and parts that are here; scripts/image gathers them and calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"cheeseboard/firmware/card"
	"cheeseboard/firmware/update"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var p card.Parts
	var o card.Options
	flag.StringVar(&p.Program, "program", "", "the program, a `file`")
	flag.StringVar(&p.Init, "init", "", "the init, a `file`")
	flag.StringVar(&p.Authorities, "authorities", "", "the certificates of authorities, a `file`")
	flag.StringVar(&p.Checker.Dir, "checker", "", "the `folder` with Debian's package of the checker of file systems")
	flag.StringVar(&p.Checker.Path, "checker-package", "", "what that `package` is called")
	flag.StringVar(&p.Checker.Version, "checker-version", "", "the `version` of that package")
	flag.StringVar(&p.GoRoot, "goroot", "", "the `folder` of the Go distribution")
	modules := flag.String("modules", "", "the list of all modules, a `file`")
	key := flag.String("key", "", "the release key, a `file`; made if it is not there")
	made := flag.Int64("made", 0, "what all files bear, in `seconds` since 1970")
	flag.TextVar(&o.Version, "version", update.Version{}, "the `version`: numbers with dots between them")
	flag.TextVar(&o.Floor, "floor", update.Version{}, "the oldest `version` that may be installed where this one runs")
	flag.StringVar(&o.Out, "out", "", "the `folder` for the results")
	flag.Parse()
	o.Made = time.Unix(*made, 0)
	o.Log = func(format string, args ...any) { fmt.Fprintf(os.Stderr, "mkimage: "+format+"\n", args...) }
	if err := locate(&p, *modules); err != nil {
		return err
	}
	var fresh bool
	var err error
	if o.Key, fresh, err = card.ReleaseKey(*key); err != nil {
		return err
	}
	if fresh {
		o.Log("made a release key: %s. Keep it: without it, boxes with this image take no update", *key)
	}
	if err := p.Build(ctx, o); err != nil {
		return err
	}
	return list(o)
}

// locate finds what the image's own module pins.
func locate(p *card.Parts, list string) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	p.Modules, err = card.ReadModules(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if p.Kernel, err = card.Find(p.Modules, "github.com/gokrazy/kernel.rpi"); err != nil {
		return err
	}
	p.Firmware, err = card.Find(p.Modules, "github.com/gokrazy/firmware")
	return err
}

// list tells how large the results are.
func list(o card.Options) error {
	names := card.NamesOf(o.Version)
	for _, name := range []string{names.Image, names.Bundle, names.Bill, names.Licences, names.Releases, card.Sums} {
		info, err := os.Stat(filepath.Join(o.Out, name))
		if err != nil {
			return err
		}
		fmt.Printf("%12d  %s\n", info.Size(), filepath.Join(o.Out, name))
	}
	return nil
}
