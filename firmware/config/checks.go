package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cheeseboard/syncer/budget"
)

// The checks return what was expected in place of the text, or "" where the
// text is good.

// isPlain refuses what has no business in a setting: a line break in a host
// name, a terminal sequence in a path.
func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func anyText(string) string { return "" }

func checkFolder(s string) string {
	if strings.TrimSpace(s) == "" {
		return `a folder such as "cheeseboard-data" or "/srv/cheeseboard"`
	}
	return ""
}

func checkWindow(s string) string {
	if _, err := budget.ParseWindow(s); err != nil {
		return `a time of the week such as "22:00-06:00" or "mon-fri 12:00-13:00"`
	}
	return ""
}

func checkListen(s string) string {
	const want = `an address with a port such as ":8080" or "192.168.1.5:80"`
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return want
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return want + "; the port is a number from 0 to 65535"
	}
	if host != "" && !isHost(host) {
		return want
	}
	return ""
}

func checkListenOrNone(s string) string {
	if s == "" {
		return ""
	}
	return checkListen(s)
}

func checkHostName(s string) string {
	if s != "" && !isHost(s) {
		return `a host name or an address, without a scheme or a port, such as "cheeseboard.local"`
	}
	return ""
}

// isHost reports whether s is an IP address or a host name (RFC 1123, and the
// underscores that some networks use).
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	// A name whose last part is a number is an address with a mistake in it.
	if len(s) > 253 || isDigits(s[strings.LastIndexByte(s, '.')+1:]) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isAlphanumeric(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func checkUpstreamURL(s string) string {
	const want = `the URL of a simple index such as "https://packages.example.org/simple/"`
	if s == "" {
		return ""
	}
	u, ok := parseURL(s, "https", "http")
	switch {
	case !ok:
		return want
	case u.User != nil:
		return want + ", without a user: it would be handed on in the addresses of files"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return want + ", without ? and #"
	}
	return ""
}

func checkMirrorURL(s string) string {
	if s == "" {
		return `the URL of a simple index such as "http://other-box.local/simple/"`
	}
	return checkUpstreamURL(s)
}

func checkProxy(s string) string {
	if s == "" {
		return ""
	}
	u, ok := parseURL(s, "http", "https", "socks5", "socks5h")
	if !ok || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || strings.Contains(s, "#") {
		return `the URL of a proxy (http, https, socks5 or socks5h) such as "http://proxy.example.org:3128"`
	}
	return ""
}

// parseURL accepts absolute URLs with a host and one of the schemes.
func parseURL(s string, schemes ...string) (*url.URL, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || !slices.Contains(schemes, u.Scheme) || !isHost(u.Hostname()) {
		return nil, false
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return nil, false
		}
	}
	return u, true
}

// checkContact keeps the text fit for a comment in a User-Agent (RFC 9110,
// section 5.6.5).
func checkContact(s string) string {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e || strings.IndexByte(`()\`, c) >= 0 {
			return `an address in ASCII without parentheses such as "it@example.org"`
		}
	}
	if len(s) > 200 {
		return `at most 200 characters such as "it@example.org"`
	}
	return ""
}

// checkPython accepts a minor release of Python such as 3.12.
func checkPython(s string) string {
	major, minor, ok := strings.Cut(s, ".")
	for _, part := range []string{major, minor} {
		if n, err := strconv.ParseUint(part, 10, 8); err != nil || strconv.FormatUint(n, 10) != part {
			ok = false
		}
	}
	if !ok || major != "2" && major != "3" {
		return `a Python version of two numbers such as "3.12"`
	}
	return ""
}
