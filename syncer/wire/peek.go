package wire

import (
	"context"
	"net/http"
)

// Peek sends a GET as Get does, but does not follow a redirect: the answer that
// the first host gives is returned as it is.
func (c *Client) Peek(ctx context.Context, address string, header http.Header) (*http.Response, error) {
	once := &Client{
		http: &http.Client{
			Transport:     c.http.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		stall: c.stall, userAgent: c.userAgent, spend: c.spend,
	}
	return once.Get(ctx, http.MethodGet, address, header)
}
