package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// table is what is printed: a part for each course as soon as it was run, and in
// the end the figures for programs.
type table struct {
	out  io.Writer
	keys []string
}

func newTable(out io.Writer) *table { return &table{out: out} }

// course begins the part of a course.
func (t *table) course(c course, bulk result) error {
	carries, which := carries(c, bulk)
	_, err := fmt.Fprintf(t.out, "%d files of %g MB over %v round trip, %g MB/s, %s: the line carries %.2f MB/s (%s)\n%-20s %8s %8s %8s %8s %8s %8s %8s\n",
		c.load.files, float64(c.load.size)/1e6, c.trip, float64(c.rate)/1e6, protocolName(c), carries/1e6, which,
		"client", "seconds", "MB/s", "of line", "of rate", "conns", "at once", "cpu s")
	return err
}

func protocolName(c course) string {
	if c.secured {
		return "HTTP/2 over TLS"
	}
	return "HTTP/1.1"
}

// carries is what the line carries, in bytes per second: what one plain transfer
// of as many bytes got over it, or its rate if that is less.
func carries(c course, bulk result) (rate float64, which string) {
	measured := bulk.rate()
	if float64(c.rate) < measured {
		return float64(c.rate), "its rate"
	}
	return measured, fmt.Sprintf("one transfer of %g MB", float64(c.load.total())/1e6)
}

// rate is in bytes per second.
func (r result) rate() float64 { return float64(r.payload) / r.took.Seconds() }

// client adds what a client did.
func (t *table) client(c course, bulk, r result) error {
	if missing := c.load.total() - r.payload; missing > 0 {
		r.remark = strings.TrimSpace(fmt.Sprintf("%.1f MB are MISSING %s", float64(missing)/1e6, r.remark))
	}
	line, _ := carries(c, bulk)
	_, err := fmt.Fprintf(t.out, "%-20s %8.1f %8.2f %7.0f%% %7.0f%% %8d %8d %8.1f  %s\n", r.client, r.took.Seconds(), r.rate()/1e6, 100*r.rate()/line, 100*r.rate()/float64(c.rate), r.conns, r.most, r.cpu.Seconds(), r.remark)
	key := fmt.Sprintf("%s_%s_%dms_%dmb_%s", strings.Fields(r.client)[0], c.load.name, c.trip.Milliseconds(), c.rate/1e6, c.protocol())
	t.keys = append(t.keys, fmt.Sprintf("%s: %.3f", key, r.rate()/line))
	return err
}

// end prints the figures: what of the line each client used.
func (t *table) end() error {
	_, err := fmt.Fprintln(t.out)
	for _, key := range t.keys {
		_, e := fmt.Fprintln(t.out, key)
		err = errors.Join(err, e)
	}
	return err
}
