package pypi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// resolveURL makes a URL of a page absolute and refuses what no file may stand
// at: another scheme than http and https, no host, userinfo, control
// characters. The result is printable ASCII, has no fragment, and resolves to
// itself. base may be nil; a relative URL is refused then.
func resolveURL(base *url.URL, raw string) (string, error) {
	if len(raw) > maxURLLength {
		return "", fmt.Errorf("read URL %.40q…: longer than %d bytes", raw, maxURLLength)
	}
	raw, _, _ = strings.Cut(raw, "#")
	if raw == "" {
		return "", errors.New("read URL: there is none")
	}
	if isPlainURL(raw) {
		return raw, nil
	}
	u, err := parseURL(raw)
	if err != nil {
		return "", err
	}
	if u.User != nil {
		return "", errors.New("read URL: it carries a user name or password")
	}
	if base != nil {
		u = base.ResolveReference(u)
	} else if !u.IsAbs() {
		return "", fmt.Errorf("read URL %.200q: it is not absolute", raw)
	}
	u.Fragment, u.RawFragment = "", ""
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("read URL: the scheme %.40q is neither http nor https", u.Scheme)
	case u.Opaque != "" || u.Hostname() == "":
		return "", fmt.Errorf("read URL %.200q: it names no host", raw)
	case u.User != nil:
		return "", errors.New("read URL: it carries a user name or password")
	}
	return settleURL(u)
}

// parseURL is url.Parse with an error that does not repeat the URL, which may
// hold a password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return nil, fmt.Errorf("read URL: %w", err)
	}
	return u, nil
}

// settleURL writes u so that reading the result gives the same text again.
// net/url leaves a query as it came, so it may still hold bytes to escape.
func settleURL(u *url.URL) (string, error) {
	s := escapeBytes(u.String())
	again, err := parseURL(s)
	if err != nil {
		return "", err
	}
	if t := escapeBytes((&url.URL{}).ResolveReference(again).String()); t != s || again.User != nil || again.Host == "" {
		return "", fmt.Errorf("read URL %.200q: it has no settled form", s)
	}
	if len(s) > maxURLLength {
		return "", fmt.Errorf("read URL %.40q…: longer than %d bytes", s, maxURLLength)
	}
	return s, nil
}

// escapeBytes percent-encodes what is not printable ASCII.
func escapeBytes(s string) string {
	odd := func(c byte) bool { return c <= ' ' || c >= 0x7f }
	n := 0
	for i := range len(s) {
		if odd(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; odd(c) {
			out = append(out, '%', digits[c>>4], digits[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// isPlainURL recognises the URLs that nearly every index prints: https or http,
// a plain host, an optional port, a path of unreserved characters without dot
// segments. They need no parsing, which is most of the work of a large page.
func isPlainURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "http://"); !ok {
			return false
		}
	}
	slash := strings.IndexByte(rest, '/')
	if slash <= 0 {
		return false
	}
	host, path := rest[:slash], rest[slash:]
	if name, port, has := strings.Cut(host, ":"); has {
		if !allDigits(port) {
			return false
		}
		host = name
	}
	for _, c := range []byte(host) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	for i, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '~', c == '+', c == '/':
		case c == '.':
			if path[i-1] == '/' { // may be a dot segment; path[0] is a slash
				return false
			}
		default:
			return false
		}
	}
	return host != ""
}
