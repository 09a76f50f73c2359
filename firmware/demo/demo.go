// Package demo shows what the box is for, in a few seconds, on one machine and
// without any internet: it mirrors from an index over a line that is cut again
// and again, is stopped in mid-download, goes on, and serves the real pip when
// the index is gone. What it says is measured in that run, and each claim is
// checked.
//
// The acts stand in mirror.go and install.go, the claims in claims.go.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer/upstreamtest"
)

const (
	selection = "cheeseplate[strong]"
	// The largest file of the sample index, which the selection needs, and the
	// module that it brings.
	largeFile, largeModule, largeVersion = "stilton-1.0-py3-none-any.whl", "stilton", "1.0"

	// cutEvery is how many bytes of one answer the line carries before it breaks.
	cutEvery = 64 << 10
	// lineRate, in bytes per second, leaves time to stop the box in mid-download.
	lineRate = 4 << 20
	// limit is for machines on which something hangs; a small board needs a
	// minute or two, most of it to make the virtual environment.
	limit = 10 * time.Minute
	grace = 3 * time.Second
)

// Run shows it, and writes what happened to w. It returns an error when
// something could not be done, or was not as claimed. When it returns, also
// after ctx has ended, all that it started has ended and all that it wrote is
// gone.
func Run(ctx context.Context, w io.Writer) error {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := &lines{w: w}
	py, err := findPython(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	folder, err := os.MkdirTemp("", "cheeseboard-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	s := &show{out: out, folder: folder, python: py}
	err = interrupted(ctx, s.play(ctx))
	if err = errors.Join(err, s.close(), os.RemoveAll(folder)); err != nil {
		return errors.Join(err, out.err)
	}
	claims := s.measured.claims()
	for _, c := range claims {
		if !c.holds {
			out.say("WRONG", "not as claimed: %s", c.text)
			err = errors.Join(err, fmt.Errorf("not as claimed: %s", c.text))
		}
	}
	if err == nil {
		out.say("done", "in %s; %d claims were checked, and what was made for it is removed", seconds(time.Since(begun)), len(claims))
	}
	return errors.Join(err, out.err)
}

// interrupted says in place of an error that follows from the end of ctx that
// this was so.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the demo was stopped before its end: %w", context.Cause(ctx))
	}
	return err
}

// show is one run with what it has opened.
type show struct {
	out      *lines
	folder   string
	python   python
	server   *upstreamtest.Server
	box      *app.App
	front    *http.Server
	serving  sync.WaitGroup // front
	measured measured
}

func (s *show) play(ctx context.Context) error {
	s.out.say("demo", "all on this machine, in %s, which is removed at the end", s.folder)
	for _, act := range []func(context.Context) error{s.startIndex, s.stopHalfway, s.mirror, s.switchOff, s.install, s.verify} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startIndex starts the sample index at the other end of a bad line.
func (s *show) startIndex(context.Context) error {
	index := upstreamtest.SampleIndex(uint64(time.Now().UnixNano()))
	large, ok := index.Content(largeFile)
	if !ok {
		return fmt.Errorf("the sample index has no %s", largeFile)
	}
	s.measured.largeSize = int64(len(large))
	s.server = upstreamtest.NewServer(index)
	if err := s.server.Start(); err != nil {
		return err
	}
	s.server.SetBandwidth(lineRate)
	s.server.Tell(upstreamtest.OnAll(), upstreamtest.CutAfter(cutEvery), 0)
	s.out.say("index", "%d projects at %s; its line carries %s/s and is cut after %s of each answer",
		len(index.Projects()), s.server.IndexURL(), size(lineRate), size(cutEvery))
	return nil
}

// open opens the box over what its folder holds.
func (s *show) open() (err error) {
	c := app.DefaultConfig()
	c.Data = filepath.Join(s.folder, "data")
	c.Upstream.URL = s.server.IndexURL()
	c.Sync.Projects = []string{selection}
	c.Sync.Python = []string{s.python.version}
	c.Sync.Platforms = []string{"any"}
	c.Storage.Reserve = 0 // it needs a few megabytes, and not for long
	s.box, err = app.Open(c, slog.New(slog.DiscardHandler))
	return err
}

func (s *show) closeBox() error {
	if s.box == nil {
		return nil
	}
	box := s.box
	s.box = nil
	return box.Close()
}

// close ends what was started, in reverse.
func (s *show) close() error {
	var errs []error
	if s.front != nil {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		err := s.front.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.front.Close()
		}
		s.serving.Wait()
		errs = append(errs, err)
	}
	errs = append(errs, s.closeBox())
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	return errors.Join(errs...)
}

// lines writes one line for each act, plainly: it may go into a file. The first
// error stays.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) say(label, format string, a ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, "%-9s%s\n", label, fmt.Sprintf(format, a...))
	}
}

func size(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
