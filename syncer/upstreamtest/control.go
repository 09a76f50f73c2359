package upstreamtest

import (
	"fmt"
	"net/http"
	"strings"
)

// Control is a handler that switches a running server by hand or from another
// process. It is meant for a listener of its own, so that the upstream's paths
// stay what they are:
//
//	POST /tell?lie=file:stilton-*.whl+cut:65536+3
//	POST /truth   POST /kill   POST /revive
//	POST /blackhole?on=true
//	GET  /requests
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	do := func(pattern string, act func(*http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := act(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	do("POST /tell", func(r *http.Request) error {
		_, err := s.TellText(r.URL.Query().Get("lie"))
		return err
	})
	do("POST /truth", func(*http.Request) error { s.Truth(); return nil })
	do("POST /kill", func(*http.Request) error { return s.Kill() })
	do("POST /revive", func(*http.Request) error { return s.Revive() })
	do("POST /blackhole", func(r *http.Request) error {
		switch on := r.URL.Query().Get("on"); on {
		case "true", "false":
			s.Blackhole(on == "true")
			return nil
		default:
			return fmt.Errorf("blackhole: on is %q, want true or false", on)
		}
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		for _, q := range s.Requests() {
			// A client that went away needs no list.
			_, _ = fmt.Fprintln(w, q)
		}
	})
	return mux
}

// String is one line: method, path, call, range, status, bytes of body, lies.
func (q Request) String() string {
	line := fmt.Sprintf("%s %s", q.Method, q.Path)
	if q.Call != "" {
		line += " " + q.Call
	}
	if q.Range != "" {
		line += " " + q.Range
	}
	line += fmt.Sprintf(" -> %d, %d bytes", q.Status, q.Body)
	if len(q.Lies) > 0 {
		line += ", lies: " + strings.Join(q.Lies, " ")
	}
	return line
}
