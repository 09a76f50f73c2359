package clock

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// QueryDate asks a web server for the time: the Date of its answer to a HEAD, whatever
// its status is (RFC 9110 section 6.6.1). The address should be one in clear: a
// certificate cannot be checked while the clock is wrong. Redirects are not followed.
// A gateway or a proxy may answer for all hosts, at one address: neither address nor
// status tells, so what such dates may do is bounded (State.Next, Keeper.Over).
func QueryDate(ctx context.Context, client *http.Client, address string) (Sample, error) {
	// What stands between must not answer from its memory.
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return Sample{}, fmt.Errorf("ask %s for the date: %w", address, err)
	}
	req.Header.Set("Cache-Control", "no-cache")
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	sent := time.Now()
	resp, err := once.Do(req)
	if err != nil {
		return Sample{}, fmt.Errorf("ask %s for the date: %w", address, err)
	}
	_ = resp.Body.Close() // a HEAD has none
	now := time.Now()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return Sample{}, fmt.Errorf("ask %s for the date: %w", address, err)
	}
	if age := resp.Header.Get("Age"); age != "" && age != "0" {
		return Sample{}, fmt.Errorf("ask %s for the date: the answer is one of another time (Age: %.20q)", address, age)
	}
	// The second was going on when it was written down: its middle is taken.
	way := now.Sub(sent)
	return Sample{Host: address, Time: date.Add(time.Second/2 + way/2), At: now, Within: time.Second + way/2}, nil
}
