// Package webui is for people: the page at the root of the box (what this is, how it
// is, and how to point pip and uv at it), the search, and a page for each project.
// They are documents without scripts, images or other requests, so they work in any
// browser on a LAN without the internet.
package webui

import (
	_ "embed"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"cheeseboard/httpd/reply"
)

//go:embed page.html
var homeText string

var homePage = parse(homeText)

// State is how the box is.
type State struct {
	Health    string // one sentence
	Line      string // one sentence on the way to the upstream
	Projects  int    // whose pages are here
	Files     int    // distributions that are here
	Bytes     int64
	Addresses []string     // by which the box can be reached, names first
	Mistakes  []string     // in the settings, one sentence each
	Indexes   []IndexState // beside the default one
}

// IndexState is an index beside the default one.
type IndexState struct {
	Name     string // the first part of its addresses
	Projects string // which belong to it
	Line     string // one sentence
}

// Handler serves the page for every path it is given.
type Handler struct {
	name  string
	state func() (State, error)
	log   *slog.Logger
}

// New makes a handler that calls the box by name; "" means cheeseboard. state tells
// how it is, for each request; nil, or an error, which is logged: the page does not
// say. A nil log discards.
func New(name string, state func() (State, error), log *slog.Logger) *Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{name: named(name), state: state, log: log}
}

// home is what the page shows.
type home struct {
	Title, Name string
	Index       string // the address of the index
	Trust       string // what pip must be told to trust; "" for nothing
	State       *State
}

// ServeHTTP answers with the page. The commands on it carry the address by
// which the client has reached the box, since that is one that works from there.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Host")
	if !reply.ReadOnly(w, r) {
		return
	}
	authority, hostname, ok := address(r.Host)
	if !ok {
		reply.Text(w, r, http.StatusBadRequest, "The Host header is not an address.")
		return
	}
	page := home{Title: h.name + ": Python packages on this network", Name: h.name, Index: "http://" + authority + "/simple/", Trust: hostname}
	if r.TLS != nil {
		page.Index, page.Trust = "https://"+authority+"/simple/", ""
	}
	if h.state != nil {
		state, err := h.state()
		if err != nil {
			h.log.Error("tell the state on the page", "error", err)
		} else {
			page.State = &state
		}
	}
	send(w, r, http.StatusOK, homePage, page)
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
