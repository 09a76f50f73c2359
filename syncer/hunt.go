package syncer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/fetch"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/mirror"
	"cheeseboard/syncer/wire"
)

// giver is one place that has the bytes of a download: the host of files that
// the upstream's page names, or a mirror.
type giver struct {
	address string         // of the bytes
	mirror  *mirror.Mirror // nil: the upstream's
	health  *mirror.Health
}

func (s *giver) String() string {
	if s.mirror != nil {
		return "the mirror " + s.mirror.Address()
	}
	return "the files host " + mirror.HostOf(s.address)
}

// earlier stands for whoever gave the bytes that were here before.
var earlier = &giver{}

// hunt is one download's way through all who have its bytes. Whoever is asked
// next goes on at the byte where the last one stopped. The digest is of the whole:
// where bytes of several turn out to be wrong nobody is blamed, but each of them
// in its turn gives the file alone from the beginning, and then it shows.
type hunt struct {
	*Engine
	d      *download
	main   *giver
	parts  []*giver // who gave the bytes that are here, in order
	rounds int      // how often the bytes were wrong
	liars  []*giver // whose bytes alone were wrong
	mixed  bool     // bytes of several were wrong: now one alone
	last   *giver   // who gave the end of them

	gaveWrong []string // who gave the last bytes that were wrong
}

func (e *Engine) hunt(d *download) *hunt {
	return &hunt{Engine: e, d: d, main: &giver{address: d.url, health: e.mirrors.Host(d.url)}}
}

// bytes brings what is missing of a file that is open. The error is what the
// upstream's host said, as long as it was asked; what mirrors said stands behind.
func (h *hunt) bytes(in Incoming) error {
	h.parts = nil
	if in.Offset() > 0 {
		h.parts = []*giver{earlier}
	}
	if h.mixed {
		return h.alone(in)
	}
	var told error
	asked := false // the upstream's host was
	if h.mainFirst() {
		told, asked = h.from(h.main, in, h.others()), true
		if told == nil || ends(told) {
			return told
		}
	}
	remarks, done, err := h.fromMirrors(in)
	switch {
	case done:
		return err
	case h.d.besides:
		return withRemarks(&wire.Problem{Cause: wire.Unreachable, URL: h.d.url, Err: errNotBesides}, remarks)
	case slices.Contains(h.liars, h.main) && h.mirrors.Len() > 0 && !asked:
		return withRemarks(&wire.Problem{Cause: wire.Lie, URL: h.d.url, Err: errMainLied}, remarks)
	case asked && !h.impatient(told):
		return withRemarks(told, remarks)
	}
	if err := h.wait(told); err != nil {
		return err
	}
	return withRemarks(h.from(h.main, in, false), remarks)
}

var (
	errNotBesides = errors.New("the line is down, and no mirror has it")
	errMainLied   = errors.New("its bytes were wrong, and no mirror has them")

	errNobodyAlone = errors.New("bytes from several places were wrong together, and none of them gives the file alone")
)

// fromMirrors asks one mirror after the other. done: the bytes are here, or err
// ends the download.
func (h *hunt) fromMirrors(in Incoming) (remarks []error, done bool, err error) {
	var whole []*giver
	for _, s := range h.found() {
		switch err := h.from(s, in, true); {
		case err == nil || ends(err):
			return nil, true, err
		case errors.Is(err, fetch.ErrNoRanges):
			whole = append(whole, s)
		default:
			remarks = append(remarks, err)
		}
	}
	for _, s := range whole {
		// All others have failed: bytes that are here have to come again.
		err := h.from(s, in, false)
		if err == nil || ends(err) {
			return nil, true, err
		}
		remarks = append(remarks, err)
	}
	return remarks, false, nil
}

// found looks the bytes up at the mirrors, one when it is its turn.
func (h *hunt) found() iter.Seq2[int, *giver] {
	return func(yield func(int, *giver) bool) {
		for i, m := range h.mirrors.Candidates(h.d.item.Name, h.d.item.Digest) {
			if s := h.at(m); s != nil && !yield(i, s) {
				return
			}
		}
	}
}

// alone brings the file from one source, from its beginning: from the one that
// could give its end, then from the others. Those that lied by themselves are left
// out; what one gave that then failed is thrown away, since
// nobody knows whose bytes were wrong.
func (h *hunt) alone(in Incoming) error {
	told := error(&wire.Problem{Cause: wire.Lie, URL: h.d.url, Err: errNobodyAlone})
	var remarks []error
	try := func(s *giver) (done bool, err error) {
		if in.Offset() > 0 {
			if err := (&tracked{in, h, s}).Reset(); err != nil {
				return true, err
			}
		}
		err = h.from(s, in, false)
		if err == nil || ends(err) {
			return true, err
		}
		remarks = append(remarks, err)
		return false, nil
	}
	tried := []*giver{h.last}
	if done, err := try(h.last); done {
		return err
	}
	if h.last != h.main && !slices.Contains(h.liars, h.main) {
		tried = append(tried, h.main)
		if done, err := try(h.main); done {
			return err
		}
	}
	for _, s := range h.found() {
		if slices.ContainsFunc(tried, func(t *giver) bool { return t.mirror == s.mirror }) {
			continue
		}
		if done, err := try(s); done {
			return err
		}
	}
	return withRemarks(told, remarks)
}

// ends tells whether an error ends the download, whoever else has the bytes: it
// was ended by us, or the store cannot take them.
func ends(err error) bool {
	var own *fetch.TargetError
	return ours(err) || errors.As(err, &own) && wire.CauseOf(err) == ""
}

// mainFirst tells whether the upstream's host is asked before the mirrors.
func (h *hunt) mainFirst() bool {
	if h.d.besides {
		return false
	}
	return !h.others() || !slices.Contains(h.liars, h.main) && h.Line.Up() && h.main.health.Ready()
}

// others tells whether a mirror may have the bytes.
func (h *hunt) others() bool {
	return slices.ContainsFunc(h.mirrors.Candidates(h.d.item.Name, h.d.item.Digest), func(m *mirror.Mirror) bool { return !h.lied(m) })
}

func (h *hunt) lied(m *mirror.Mirror) bool {
	return slices.ContainsFunc(h.liars, func(s *giver) bool { return s.mirror == m })
}

// at finds the bytes at a mirror; nil where it has not got them, or keeps them
// where they were asked for already.
func (h *hunt) at(m *mirror.Mirror) *giver {
	if h.lied(m) {
		return nil
	}
	address := m.Find(h.purpose(), h.d.item.Name, h.d.item.Digest, func() { h.d.update(h.d.live) })
	if address == "" || mirror.HostOf(address) == mirror.HostOf(h.main.address) {
		return nil
	}
	return &giver{address: address, mirror: m, health: &m.Health}
}

func (h *hunt) purpose() context.Context { return budget.With(h.ctx, h.d) }

// impatient tells whether the upstream's host was given up only because others
// might have the bytes.
func (h *hunt) impatient(told error) bool {
	var p *wire.Problem
	return h.mirrors.Len() > 0 && errors.As(told, &p) && !p.Permanent() && p.RetryAfter <= h.longestPause()
}

func (h *hunt) longestPause() time.Duration {
	if h.opts.MaxPause > 0 {
		return h.opts.MaxPause
	}
	return fetch.DefaultMaxPause
}

// wait waits as long as the upstream's host has asked for.
func (h *hunt) wait(told error) error {
	var p *wire.Problem
	if !errors.As(told, &p) || p.RetryAfter <= 0 {
		return nil
	}
	timer := time.NewTimer(p.RetryAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-h.ctx.Done():
		return &wire.Problem{Cause: wire.Canceled, Err: h.ctx.Err()}
	}
}

// from asks one source for what is missing. elsewhere says that others may have
// it too.
func (h *hunt) from(s *giver, in Incoming, elsewhere bool) error {
	if in.Offset() > 0 && !h.gave(s) {
		in.SetValidator("") // it is another's
	}
	files := *h.files
	files.Elsewhere = elsewhere
	if s.mirror == nil {
		files.Answered = func() {
			h.silent.Store(false)
			h.d.update(h.d.live)
		}
	} else {
		files.Header = mirror.Header()
		files.Answered = func() { h.d.update(h.d.live) }
		files.Attempt = func(address string, offset int64, err error) {
			h.log.Debug("download from a mirror interrupted, going on", "url", address, "offset", offset, "reason", err)
		}
	}
	began, received, offset := time.Now(), h.wire.Received(), in.Offset()
	err := files.Fetch(h.purpose(), s.address, &tracked{in, h, s})
	if s.mirror == nil {
		met := link.Of(h.index.Address(), s.address, err)
		if err == nil && !h.held() {
			met.Rate = link.RateOf(h.wire.Received()-received, time.Since(began))
		}
		h.met(met) // what a mirror does says nothing of the line
	}
	if s.mirror != nil && !ends(err) {
		err = wire.From(s.String(), err)
	}
	h.judge(s, in.Offset()-offset, err)
	return err
}

// gave tells whether the last bytes that are here are a source's. What an earlier
// run left is taken to be the upstream's.
func (h *hunt) gave(s *giver) bool {
	if len(h.parts) == 0 {
		return false
	}
	last := h.parts[len(h.parts)-1]
	return last == s || last == earlier && s.mirror == nil
}

// judge notes how a source has done. An answer about this file alone is the
// source's right, and sets it back for nothing else.
func (h *hunt) judge(s *giver, got int64, err error) {
	if h.mirrors.Len() == 0 {
		return // nobody would be asked in its place
	}
	if got > 0 {
		s.health.Delivered(got)
	}
	switch cause := wire.CauseOf(err); {
	case err == nil:
		s.health.Worked()
	case errors.Is(err, fetch.ErrNoRanges):
	case cause == wire.Gone, cause == wire.Refused:
		if s.mirror != nil {
			s.mirror.Lacks(h.d.item.Name, h.d.item.Digest)
		}
	default:
		s.health.Failed(err)
	}
}

// wrong is told that the bytes have not the digest, and says whether to fetch
// them again. Where they were one's alone, that one lied. It is asked no more,
// unless it is the upstream's host, and there is nobody else: then once.
func (h *hunt) wrong(err error) (again bool) {
	h.rounds++
	if len(h.parts) == 1 && h.parts[0] != earlier {
		s := h.parts[0]
		if !slices.Contains(h.liars, s) {
			h.liars = append(h.liars, s)
		}
		if h.mirrors.Len() > 0 {
			s.health.Lied(h.d.item.label(), err)
		}
	}
	if h.mixed = len(h.parts) > 1; h.mixed {
		h.last = h.parts[len(h.parts)-1]
	}
	h.gaveWrong = h.givers()
	h.log.Warn("wrong bytes were set aside", "project", h.d.item.Name, "filename", h.d.item.Filename, "from", h.gaveWrong, "reason", err)
	if slices.Contains(h.liars, h.main) && !h.others() {
		return h.rounds == 1
	}
	return h.rounds <= h.mirrors.Len()+1
}

// givers names those whose bytes are here.
func (h *hunt) givers() []string {
	var out []string
	for _, s := range h.parts {
		if s == earlier {
			out = append(out, "an earlier run")
		} else {
			out = append(out, s.String())
		}
	}
	return out
}

// withRemarks adds to an error what mirrors said.
func withRemarks(told error, remarks []error) error {
	var p *wire.Problem
	if len(remarks) == 0 || !errors.As(told, &p) {
		return told
	}
	q := *p
	for _, r := range remarks {
		if q.Err == nil {
			q.Err = r
		} else {
			q.Err = fmt.Errorf("%w; %w", q.Err, r)
		}
	}
	return &q
}

// tracked tells readers what happens to an Incoming, and the hunt who gave its
// bytes.
type tracked struct {
	Incoming
	h *hunt
	s *giver
}

func (t *tracked) Write(b []byte) (int, error) {
	d := t.h.d
	if t.Size() < 0 && int64(len(b)) > d.most-t.Offset() {
		err := &wire.Problem{Cause: wire.Lie, URL: t.s.address, Err: fmt.Errorf("there is no end to what it sends: %d MB and more", d.most>>20)}
		return 0, errors.Join(err, t.Reset()) // these are no bytes to go on from
	}
	n, err := t.Incoming.Write(b)
	if n > 0 {
		if k := len(t.h.parts); k == 0 || t.h.parts[k-1] != t.s {
			t.h.parts = append(t.h.parts, t.s)
		}
		d.update(func() { d.offset = t.Offset(); d.live(); d.begin() })
	}
	return n, err
}

func (t *tracked) Reset() error {
	t.h.parts = nil
	t.h.d.void()
	return t.Incoming.Reset()
}
