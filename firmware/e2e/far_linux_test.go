package e2e

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"cheeseboard/syncer/farline"
	"cheeseboard/syncer/upstreamtest"
)

// apart makes a site whose upstream is another host at the far end of a line.
// The commands of the site are to be started at the near end.
func apart(t *testing.T, o farline.Options, index *upstreamtest.Index, settings ...string) (*site, *farline.Line) {
	t.Helper()
	line, err := farline.New(o)
	if errors.Is(err, farline.ErrUnavailable) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, line.Close()) })
	server := upstreamtest.NewServer(index)
	must(t, line.Far().Do(func() error { return server.StartAt(line.Far().Address().String() + ":0") }))
	t.Cleanup(func() { must(t, server.Close()) })
	return &site{t: t, data: filepath.Join(t.TempDir(), "data"), upstream: server, settings: settings}, line
}

// TestLineGoesDark has the box and the index on two hosts. In the middle of a
// file the line goes dark: no packet arrives any more, nobody is told, and when
// it is back the kernel's old connections are worth nothing.
func TestLineGoesDark(t *testing.T) {
	t.Parallel()
	const size, stall, darkness = 6 << 20, 2 * time.Second, 7 * time.Second
	index := upstreamtest.NewIndex()
	_, err := index.AddWheel(upstreamtest.Wheel{Name: "gouda", Version: "1.0", Payload: size})
	must(t, err)
	s, line := apart(t, farline.Options{Delay: 50 * time.Millisecond, Rate: 1_500_000}, index,
		`sync.projects=["gouda"]`, "storage.reserve=0", "upstream.stall-timeout="+stall.String(), "upstream.connect-timeout="+stall.String())

	c := command(t, s.args("sync")...)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	must(t, line.Near().Start(c))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// What the server was rid of may still be in its kernel: so look at the line.
	halfway := time.NewTicker(10 * time.Millisecond)
	defer halfway.Stop()
	for {
		if _, in := line.Traffic(); in.Bytes > size/2 {
			break
		}
		select {
		case <-halfway.C:
		case <-ctx.Done():
			t.Fatalf("half of it did not arrive: %v\n%s", ctx.Err(), said.String())
		}
	}
	line.Cut(true)
	dark := time.NewTimer(darkness)
	<-dark.C
	line.Cut(false)
	if err := c.Wait(); err != nil {
		t.Fatalf("after the line was dark: %v\n%s", err, said.String())
	}
	intact(t, c, said.String())
	s.sound()

	_, in := line.Traffic()
	ratio := askedFor(in, size)
	ranges := s.upstream.Requests().On(upstreamtest.OnFile("*")).Ranges()
	t.Logf("%.3f bytes over the line for each of the file, %d that TCP repeated, %d behind gaps; %d packets lost in the dark; asked for %q",
		ratio, in.Again, in.Adrift, in.Dropped, ranges)
	if ratio > 1.03 {
		t.Errorf("%.3f bytes crossed the line for each of the file", ratio)
	}
	if in.Dropped == 0 || len(ranges) < 2 {
		t.Error("the dark hit nothing")
	}
}

// askedFor tells how many bytes came for each of a file. What TCP repeats by itself
// does not count: on a busy machine it does so over any line. Nor does what was behind
// a gap when the line went dark, which the kernel gives nobody.
func askedFor(in farline.Traffic, size int64) float64 {
	return float64(in.Payload-in.Again-in.Adrift) / float64(size)
}

// TestEveryConnectionReset has a box on the way that ends all connections by RST
// again and again.
func TestEveryConnectionReset(t *testing.T) {
	t.Parallel()
	const size = 6 << 20
	index := upstreamtest.NewIndex()
	_, err := index.AddWheel(upstreamtest.Wheel{Name: "gouda", Version: "1.0", Payload: size})
	must(t, err)
	s, line := apart(t, farline.Options{Delay: 10 * time.Millisecond, Rate: 1_500_000}, index, `sync.projects=["gouda"]`, "storage.reserve=0")
	c := command(t, s.args("sync")...)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	must(t, line.Near().Start(c))
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for done := false; !done; {
		select {
		case <-again.C:
			line.Reset()
		case err := <-ended:
			done = true
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
		}
	}
	intact(t, c, said.String())
	s.sound()
	_, in := line.Traffic()
	ratio := askedFor(in, size)
	requests := s.upstream.Requests().On(upstreamtest.OnFile("*"))
	t.Logf("%.3f bytes over the line for each of the file, and %d that TCP repeated; in %d requests", ratio, in.Again, len(requests))
	if len(requests) < 5 {
		t.Errorf("%d requests: the resets hit nothing", len(requests))
	}
	// What has come to the kernel and was not read is lost with an RST.
	if ratio > 1.15 {
		t.Errorf("%.3f bytes crossed the line for each of the file", ratio)
	}
}
