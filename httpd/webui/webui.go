// Package webui is the page for people at the root of the box: what this is,
// and how to point pip and uv at it. It is one document without scripts, images
// or other requests, so it works in any browser on a LAN without the internet.
package webui

import (
	_ "embed"
	"html"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"cheeseboard/httpd/reply"
)

//go:embed page.html
var page string

// Handler serves the page for every path it is given.
type Handler struct{ name string }

// New makes a handler that calls the box by name; "" means cheeseboard.
func New(name string) *Handler {
	if name == "" {
		name = "cheeseboard"
	}
	return &Handler{name: name}
}

// ServeHTTP answers with the page. The commands on it carry the address by
// which the client has reached the box, since that is one that works from there.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !reply.ReadOnly(w, r) {
		return
	}
	authority, hostname, ok := address(r.Host)
	if !ok {
		reply.Text(w, r, http.StatusBadRequest, "The Host header is not an address.")
		return
	}
	scheme, trust := "http", " --trusted-host "+hostname
	if r.TLS != nil {
		scheme, trust = "https", ""
	}
	body := strings.NewReplacer(
		"{{name}}", html.EscapeString(h.name),
		"{{index}}", html.EscapeString(scheme+"://"+authority+"/simple/"),
		"{{trust}}", html.EscapeString(trust),
		"{{trust-config}}", trustConfig(trust, hostname),
	).Replace(page)
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Host")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body)) // a client that has gone needs no answer
	}
}

// trustConfig is the second command of the lasting set-up; https needs none.
func trustConfig(trust, hostname string) string {
	if trust == "" {
		return ""
	}
	return "\npip config set global.trusted-host " + html.EscapeString(hostname)
}

// address checks a Host header and gives it back with its name part alone, the
// form that --trusted-host wants. The header ends up in commands that people
// paste into a shell, so it may hold nothing but a name or an IP address and a
// port.
func address(host string) (authority, hostname string, ok bool) {
	hostname = host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '+' {
			return "", "", false
		}
		hostname = h
		if strings.Contains(h, ":") {
			hostname = "[" + h + "]"
		}
	}
	if inner, v6 := strings.CutPrefix(hostname, "["); v6 {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		ok := err == nil && addr.Is6() && addr.Zone() == "" && strings.HasSuffix(inner, "]")
		return host, hostname, ok
	}
	if hostname == "" || len(hostname) > 253 || hostname[0] == '-' {
		return "", "", false
	}
	for _, c := range []byte(hostname) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return "", "", false
		}
	}
	return host, hostname, true
}
