package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer/upstreamtest"
)

// stopHalfway mirrors until a third of the large file is here, and stops the box
// at that moment, whatever it is doing.
func (s *show) stopHalfway(ctx context.Context) error {
	begun := time.Now()
	if err := s.open(); err != nil {
		return err
	}
	watch, enough := context.WithCancel(ctx)
	defer enough()
	ended := make(chan error, 1)
	box := s.box
	go func() {
		_, err := onePass(ctx, box)
		enough()
		ended <- err
	}()
	third := s.measured.largeSize / 3
	reached := s.server.Wait(watch, func(q upstreamtest.Requests) bool { return q.On(large()).Body() >= third })
	box.Engine.Close()
	err := <-ended
	if reached != nil {
		return fmt.Errorf("mirror until a third of %s is here: %w", largeFile, errors.Join(reached, err))
	}
	s.measured.stopped = err != nil // a pass that is through gives none
	status, err := box.Engine.Status()
	s.measured.received = status.Line.Received
	s.measured.took = time.Since(begun)
	return errors.Join(err, s.closeBox())
}

// mirror opens the box again and lets it come to its end.
func (s *show) mirror(ctx context.Context) error {
	begun := time.Now()
	before := len(s.server.Requests().On(large()))
	if err := s.open(); err != nil {
		return err
	}
	waiting, err := s.box.Store.Waiting()
	if err != nil {
		return err
	}
	m := &s.measured
	for _, w := range waiting {
		if w.Size == m.largeSize {
			m.partial = w.Have
		}
	}
	s.out.say("stopped", "the box, when %s of the %s of %s were here", size(m.partial), size(m.largeSize), largeFile)
	received, err := onePass(ctx, s.box)
	if err != nil {
		return fmt.Errorf("mirror %s: %w", selection, err)
	}
	totals, err := s.box.Store.Totals()
	if err != nil {
		return err
	}
	m.received += received
	m.took += time.Since(begun)
	m.files, m.kept = totals.Files, totals.Bytes
	if m.answers, err = answersOf(s.server.Requests().On(large())); err != nil {
		return err
	}
	if before < len(m.answers) {
		m.wentOnAt = m.answers[before].start
	}
	s.out.say("resumed", "opened again, it went on at byte %d; %d bytes, under way when it was stopped, were sent twice", m.wentOnAt, resent(m.answers))
	s.out.say("mirrored", "%d files for %s, %s, in %s", m.files, selection, size(m.kept), seconds(m.took))
	s.out.say("line", "cut %d times; %d connections for the large file; %d bytes received for %d kept, which is %.3f for each",
		cuts(m.answers), len(m.answers), m.received, m.kept, m.ratio())
	return nil
}

// switchOff takes the index away and opens the box without it.
func (s *show) switchOff(ctx context.Context) error {
	address := s.server.IndexURL()
	if err := errors.Join(s.closeBox(), s.server.Kill()); err != nil {
		return err
	}
	s.measured.before = len(s.server.Requests())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	if response, err := client.Do(request); err != nil {
		s.measured.indexOff = ctx.Err() == nil
	} else if err := response.Body.Close(); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	s.out.say("index", "switched off; the box was closed, and opened again without it")
	return nil
}

func large() upstreamtest.Target { return upstreamtest.OnFile(largeFile) }

// onePass brings the selection here, and counts the bytes over the line.
func onePass(ctx context.Context, box *app.App) (received int64, err error) {
	err = box.Sync(ctx, app.SyncOptions{}, func(e app.Event) {
		if e.Synced != nil {
			received = e.Synced.Received
		}
	})
	return received, err
}

// answer is one answer of the index about the large file.
type answer struct {
	start int64 // the first byte that it sent
	sent  int64 // bytes
	cut   bool  // the line broke; false for the last, and where the box was stopped
}

// answersOf reads the record of the index. Every answer that was broken off took
// its connection with it, so there were as many connections as answers.
func answersOf(requests upstreamtest.Requests) ([]answer, error) {
	var out []answer
	for _, q := range requests {
		a := answer{sent: q.Body}
		if q.Status == http.StatusPartialContent {
			from, open := strings.CutSuffix(strings.TrimPrefix(q.Range, "bytes="), "-")
			start, err := strconv.ParseInt(from, 10, 64)
			if err != nil || !open {
				return nil, fmt.Errorf("read the record of the index: the range %q", q.Range)
			}
			a.start = start
		}
		out = append(out, a)
	}
	for i := range out {
		out[i].cut = i < len(out)-1 && out[i].sent == cutEvery
	}
	return out, nil
}

func cuts(answers []answer) int {
	n := 0
	for _, a := range answers {
		if a.cut {
			n++
		}
	}
	return n
}

// resent counts the bytes that were asked for although they had been sent.
func resent(answers []answer) int64 {
	var n int64
	for i := 1; i < len(answers); i++ {
		n += max(0, answers[i-1].start+answers[i-1].sent-answers[i].start)
	}
	return n
}
