// Package authority hands out the root certificate of the box, which the people of
// the LAN install once so that they can use https. It is public; who installs it
// compares the fingerprint with that on the console.
package authority

import (
	"net/http"
	"strconv"

	"cheeseboard/httpd/reply"
)

// Path is where the root certificate stands.
const Path = "/ca.crt"

// New makes a handler. root gives the certificate as PEM; nil where there is none.
func New(root func() []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !reply.ReadOnly(w, r) {
			return
		}
		pem := root()
		if pem == nil {
			reply.Text(w, r, http.StatusNotFound, "This box has no authority of its own: it serves no https, or by a certificate from elsewhere.")
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/x-x509-ca-cert")
		h.Set("Content-Disposition", `attachment; filename="cheeseboard-ca.crt"`)
		h.Set("Content-Length", strconv.Itoa(len(pem)))
		h.Set("Cache-Control", "no-cache")
		if r.Method != http.MethodHead {
			_, _ = w.Write(pem) // a client that has gone needs no answer
		}
	})
}
