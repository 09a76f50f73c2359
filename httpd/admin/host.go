package admin

import (
	"net"
	"strings"
)

// hostOf takes the port and the brackets off a Host header; "" for one that is none.
func hostOf(authority string) string {
	host := authority
	if h, _, err := net.SplitHostPort(authority); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if strings.ContainsAny(host, "/\\@?#[]% \t\r\n") {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
