package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// stateWithin is how long init may take to say how it is, answerWithin for what it
	// has to write down first: a card that is busy takes its time.
	stateWithin  = 10 * time.Second
	answerWithin = 2 * time.Minute
)

// Client is the program's end. It is safe for concurrent use.
type Client struct{ http *http.Client }

// NewClient speaks to the socket at a path. Nothing is contacted yet.
func NewClient(socket string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

// State asks how the machine is.
func (c *Client) State(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, stateWithin)
	defer cancel()
	var s State
	resp, err := c.do(ctx, http.MethodGet, "/state", nil, 0)
	if err != nil {
		return s, err
	}
	if err := errors.Join(json.NewDecoder(resp.Body).Decode(&s), resp.Body.Close()); err != nil {
		return s, fmt.Errorf("read the state of the machine: %w", err)
	}
	return s, nil
}

// Update sends a bundle, and reports as it is installed. The error is a *Refusal
// where the bundle or the moment was wrong. It ends with ctx; an installation that
// is cut leaves the other slot unbootable, and the running one as it was.
func (c *Client) Update(ctx context.Context, bundle io.Reader, o UpdateOptions, report func(Progress)) (Installed, error) {
	path := "/update"
	if o.Again {
		path += "?again=1"
	}
	resp, err := c.do(ctx, http.MethodPut, path, bundle, o.Size)
	if err != nil {
		return Installed{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var l Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return Installed{}, fmt.Errorf("read how the update goes: %w", err)
		}
		switch {
		case l.Installed != nil:
			return *l.Installed, nil
		case l.Kind != "":
			return Installed{}, &Refusal{Kind: l.Kind, Text: l.Error}
		case l.Error != "":
			return Installed{}, errors.New(l.Error)
		case l.Progress != nil:
			report(*l.Progress)
		}
	}
	if err := lines.Err(); err != nil {
		return Installed{}, fmt.Errorf("read how the update goes: %w", err)
	}
	return Installed{}, errors.New("init went away in the middle of an update")
}

// Restart has the machine go down in order.
func (c *Client) Restart(ctx context.Context, how How) error {
	return c.order(ctx, http.MethodPost, "/restart?how="+string(how), "")
}

// ResetNetwork has the settings of the network begin anew.
func (c *Client) ResetNetwork(ctx context.Context) error {
	return c.order(ctx, http.MethodPost, "/network/reset", "")
}

// PIN has a text written to PIN.txt on the first partition; "" removes it.
func (c *Client) PIN(ctx context.Context, text string) error {
	if text == "" {
		return c.order(ctx, http.MethodDelete, "/pin", "")
	}
	return c.order(ctx, http.MethodPut, "/pin", text)
}

func (c *Client) order(ctx context.Context, method, path, body string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	resp, err := c.do(ctx, method, path, strings.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// do sends a request; what is not a 2xx is an error with the answer's text.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, size int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://machine"+path, body)
	if err != nil {
		return nil, err
	}
	if size >= 0 {
		req.ContentLength = size
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask init: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, errors.Join(fmt.Errorf("init answered: %s", strings.TrimSpace(string(text))), err, resp.Body.Close())
	}
	return resp, nil
}
