package syncer

import (
	"slices"
	"time"

	"cheeseboard/storage/pypi"
)

// Cost is what a pass has yet to bring, as far as that is known before it has
// begun with files.
type Cost struct {
	Files   int           `json:"files"`             // distributions
	Bytes   int64         `json:"bytes"`             // of them, less what has arrived already
	Unsized int           `json:"unsized,omitempty"` // files of which the index states no size; not in Bytes
	Untold  int           `json:"untold,omitempty"`  // wheels that tell what they need only when they are here
	Rate    float64       `json:"rate,omitempty"`    // bytes per second that the line carried lately; 0: not measured yet
	Takes   time.Duration `json:"takes_ns,omitempty"`
}

const (
	// worthMeasuring is what a pass must have received for its rate to say
	// something of the line: less is mostly waiting.
	worthMeasuring = 256 << 10
	// worthTelling is the cost from which it is told before a pass begins.
	worthTelling = 1 << 20
)

// cost sums up the files that are queued. p.mu is held.
func (p *pass) cost() Cost {
	c := Cost{Files: len(p.files) + len(p.large), Rate: p.usual}
	for _, job := range slices.Concat(p.files, p.large) {
		switch size := job.item.Size; {
		case size < 0:
			c.Unsized++
		default:
			c.Bytes += max(size-p.arrived[job.item.Digest], 0)
		}
		if job.readWheel || p.arrival(job.item.Digest).untold {
			c.Untold++
		}
	}
	if p.rate >= 1 && p.wire.Received()-p.before >= worthMeasuring {
		c.Rate = p.rate
	}
	if b := p.Engine.opts.Budget; b != nil {
		if most := float64(b.Status().Rate); most > 0 && (c.Rate == 0 || c.Rate > most) {
			c.Rate = most
		}
	}
	if c.Rate >= 1 {
		c.Takes = time.Duration(float64(c.Bytes) / c.Rate * float64(time.Second)).Round(time.Second)
	}
	return c
}

// learn reads what the cost depends on: how fast the line usually is, and what
// has arrived of the files. Without them the cost is only less exact.
func (p *pass) learn() {
	p.before = p.wire.Received()
	p.arrived = make(map[pypi.Digest]int64)
	own, err := p.notes.own()
	if err == nil {
		p.usual = own.Rate
		err = p.shelf.Waiting(func(d pypi.Digest, have int64) bool { p.arrived[d] = have; return true })
	}
	if err != nil {
		p.log.Warn("the cost of the sync cannot be told exactly", "reason", err)
	}
}

// announce tells once what the pass has yet to bring, when every page has told its
// part. p.mu is held.
func (p *pass) announce() {
	if p.announced {
		return
	}
	p.announced = true
	if c := p.cost(); c.Bytes >= worthTelling {
		p.log.Info("bringing files in", "files", c.Files, "bytes", c.Bytes, "bytes_per_second", int64(c.Rate), "takes about", c.Takes)
	}
}

// usualRate is what the line carries, by the passes so far and this one.
func (p *pass) usualRate(before float64) float64 {
	s := &p.summary
	if s.Files == 0 || s.Received < worthMeasuring || s.Took <= 0 {
		return before
	}
	now := float64(s.Received) / s.Took.Seconds()
	if before == 0 {
		return now
	}
	return (before + now) / 2
}
