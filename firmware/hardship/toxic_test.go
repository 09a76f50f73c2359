package hardship

import (
	"fmt"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// toxic is one fault that toxiproxy knows, as its API reads it.
type toxic struct {
	kind       string // "limit_data"
	attributes string // `"bytes": 65536`
}

func (x toxic) String() string { return x.kind + " {" + x.attributes + "}" }

// poison starts a proxy to an address, whose connections have these toxics from
// their beginning. Toxics of connections that are open are never changed: taking
// one away waits for a reader, who may not read.
func poison(t testing.TB, onward string, toxics []toxic) (address string, stop func(), err error) {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "line", "127.0.0.1:0", onward)
	for _, x := range toxics {
		text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": "downstream", "toxicity": 1, "attributes": {%s}}`, x.kind, x.kind, x.attributes)
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return "", nil, fmt.Errorf("add toxic %s: %w", x, err)
		}
	}
	if err := proxy.Start(); err != nil {
		return "", nil, fmt.Errorf("start toxiproxy: %w", err)
	}
	return proxy.Listen, proxy.Stop, nil
}
