package network

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// leaser gets an interface an address by DHCP, and keeps it.
type leaser struct {
	asker Asker
	log   *slog.Logger
	// take has the interface go by what a server said, and drop has it forget that. Both
	// are called by run only.
	take func(Terms) error
	drop func()
	// alone is told that nobody has answered, and heard that somebody has.
	alone, heard func()

	last  *dhcpv4.DHCPv4 // from before the line was cut; nil: none
	until time.Time      // the end of the lease that the interface has
}

// The pauses between two tries: of one who has no address, and of one who has and wants
// to keep it (RFC 2131, 4.4.5).
const (
	firstPause = 2 * time.Second
	mostPause  = 30 * time.Second
	leastRenew = 10 * time.Second
)

// run asks, and keeps what it gets, until ctx ends. What the interface has then stays:
// the line may come back.
func (l *leaser) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		ack, terms, err := l.get(ctx)
		if err == nil {
			pause = firstPause
			l.heard()
			ack, err = l.keep(ctx, ack, terms)
			if ctx.Err() != nil {
				l.last = ack
				return
			}
			l.log.Warn("the address is given up", "address", terms.Prefix, "reason", err)
			l.drop()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if !refused(err) {
			l.alone()
		}
		l.log.Debug("no address by DHCP", "reason", err, "again in", pause)
		wait(ctx, pause+rand.N(pause/4))
		pause = min(2*pause, mostPause)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// get asks for an address, for the one from before first, and takes it. That one stays
// where nobody answers: the server may start anew as well (RFC 2131, 3.2). It goes when a
// server says no, or gives another, or its time is over.
func (l *leaser) get(ctx context.Context) (*dhcpv4.DHCPv4, Terms, error) {
	var ack *dhcpv4.DHCPv4
	var err error
	if l.last != nil {
		ack, err = l.asker.Confirm(ctx, l.last)
		if ctx.Err() == nil && err != nil && (refused(err) || !time.Now().Before(l.until)) {
			l.drop()
			l.last = nil
		}
	}
	if ack == nil && ctx.Err() == nil {
		ack, err = l.asker.Ask(ctx)
	}
	if err != nil || ack == nil {
		return nil, Terms{}, err
	}
	terms, err := l.accept(ack)
	if err == nil {
		l.last = nil
	}
	return ack, terms, err
}

func (l *leaser) accept(ack *dhcpv4.DHCPv4) (Terms, error) {
	terms, err := ReadTerms(ack)
	if err == nil {
		err = l.take(terms)
	}
	if err == nil {
		l.until = time.Now().Add(terms.Expires)
	}
	return terms, err
}

// keep renews an address until that fails for good, or ctx ends; it gives the last word
// of a server.
func (l *leaser) keep(ctx context.Context, ack *dhcpv4.DHCPv4, terms Terms) (*dhcpv4.DHCPv4, error) {
	since := time.Now()
	for {
		next := nextTry(terms, time.Since(since))
		wait(ctx, next)
		age := time.Since(since)
		if ctx.Err() != nil {
			return ack, ctx.Err()
		}
		if age >= terms.Expires {
			return ack, errExpired
		}
		left, cancel := context.WithTimeout(ctx, terms.Expires-age)
		fresh, err := l.asker.Renew(left, ack, age >= terms.Rebind)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ack, ctx.Err()
		case refused(err):
			return ack, err
		case err != nil:
			l.log.Debug("the address is not renewed yet", "address", terms.Prefix, "reason", err)
			continue
		}
		renewed, err := l.accept(fresh)
		if err != nil {
			return ack, err
		}
		if !renewed.Server.IsValid() { // some leave it out of this answer
			fresh.UpdateOption(dhcpv4.OptServerIdentifier(ack.ServerIdentifier()))
		}
		ack, terms, since = fresh, renewed, time.Now()
	}
}

var errExpired = errors.New("it has expired, and nobody has renewed it")

// nextTry tells when an address of an age is to be renewed: at the times that were told,
// and between them after half of what is left (RFC 2131, 4.4.5).
func nextTry(t Terms, age time.Duration) time.Duration {
	until := t.Expires
	switch {
	case age < t.Renew:
		return t.Renew - age
	case age < t.Rebind:
		until = t.Rebind
	}
	return min(max((until-age)/2, leastRenew), max(until-age, 0))
}
