package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"cheeseboard/syncer/budget"
)

// Cause says what kind of thing went wrong on the way to an upstream.
type Cause string

// The causes. Those that say something of the line, and not of one page or
// file, are Unreachable and Stalled.
const (
	Unreachable Cause = "unreachable" // no name, no route, no connection
	Certificate Cause = "certificate" // the TLS certificate is not accepted
	Stalled     Cause = "stalled"     // connected, then silence
	Cut         Cause = "cut"         // the connection ended in mid-answer
	Busy        Cause = "busy"        // 429, or 503: come back later
	Broken      Cause = "broken"      // another 5xx
	Gone        Cause = "gone"        // 404, 410
	Refused     Cause = "refused"     // another 4xx
	Lie         Cause = "lie"         // an answer that breaks the rules of HTTP or of the index
	Budget      Cause = "budget"      // our own budget for the line says no
	Canceled    Cause = "canceled"    // we ended it ourselves
)

// Problem is every error that this package and those above it give for a
// request.
type Problem struct {
	Cause      Cause
	Who        string // was asked, in words; "": the upstream
	URL        string
	Status     int           // of the answer; 0 where there was none
	RetryAfter time.Duration // what the upstream asked for; 0 where it did not
	Err        error         // the detail; may be nil
}

func (p *Problem) Error() string {
	s, who := string(p.Cause), cmp.Or(p.Who, "the upstream")
	switch p.Cause {
	case Unreachable:
		s = who + " cannot be reached"
	case Certificate:
		s = who + "'s certificate is not accepted"
	case Stalled:
		s = who + " fell silent"
	case Cut:
		s = "the connection was cut"
		if p.Who != "" {
			s = "the connection to " + p.Who + " was cut"
		}
	case Busy, Broken, Gone, Refused:
		s = fmt.Sprintf("%s answered %d", who, p.Status)
	case Lie:
		s = who + "'s answer cannot be used"
	case Canceled:
		s = "it was stopped"
	case Budget:
		s = "the line may not be used now"
	}
	if p.RetryAfter > 0 && p.Cause != Budget {
		s += fmt.Sprintf(" and asks to come back in %s", p.RetryAfter)
	}
	if p.Err != nil {
		s += ": " + p.Err.Error()
	}
	return s
}

func (p *Problem) Unwrap() error { return p.Err }

// From says in an error that holds a *Problem who was asked. Other errors stay as
// they are.
func From(who string, err error) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	q := *p
	q.Who = who
	return &q
}

// Permanent tells whether asking again at once can only give the same answer.
func (p *Problem) Permanent() bool {
	return p.Cause == Gone || p.Cause == Refused || p.Cause == Certificate || p.Cause == Canceled || p.Cause == Budget
}

// CauseOf finds the cause in an error; "" where it holds no *Problem.
func CauseOf(err error) Cause {
	var p *Problem
	if errors.As(err, &p) {
		return p.Cause
	}
	return ""
}

// StatusProblem makes the problem that a status outside 2xx and 3xx stands for.
func StatusProblem(resp *http.Response, address string) *Problem {
	p := &Problem{URL: address, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		p.Cause = Gone
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusRequestTimeout:
		p.Cause = Busy
	case resp.StatusCode >= 500:
		p.Cause = Broken
	case resp.StatusCode >= 400:
		p.Cause = Refused
	default:
		p.Cause = Lie
		p.Err = fmt.Errorf("unexpected status %d", resp.StatusCode)
	}
	return p
}

// maxRetryAfter bounds what an upstream can ask for.
const maxRetryAfter = 24 * time.Hour

func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	var d time.Duration
	if n, err := strconv.Atoi(value); err == nil {
		d = min(time.Duration(min(n, 1<<20))*time.Second, maxRetryAfter)
	} else if at, err := http.ParseTime(value); err == nil {
		d = min(at.Sub(now), maxRetryAfter)
	}
	return max(d, 0)
}

// classify makes a Problem of an error of net/http.
func classify(ctx context.Context, address string, err error) *Problem {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // the method and the address are said elsewhere
	}
	p := &Problem{URL: address, Err: err}
	var refusal *budget.Refusal
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	var dial *net.OpError
	switch {
	case errors.Is(context.Cause(ctx), errStalled):
		p.Cause, p.Err = Stalled, errStalled
	case ctx.Err() != nil:
		p.Cause, p.Err = Canceled, context.Cause(ctx)
	case errors.As(err, &refusal):
		p.Cause = Budget
		if !refusal.Until.IsZero() {
			p.RetryAfter = max(time.Until(refusal.Until), time.Second)
		}
	case errors.Is(err, errRedirect):
		p.Cause = Lie
	case errors.As(err, &certificate):
		p.Cause = Certificate
	case errors.As(err, &dial) && dial.Op == "dial":
		p.Cause = Unreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &dial):
		p.Cause = Cut
	case errors.As(err, &timeout) && timeout.Timeout():
		p.Cause = Unreachable
	default:
		p.Cause = Lie
	}
	return p
}
