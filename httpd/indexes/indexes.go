// Package indexes stands before the fronts of a box that has several indexes. Each
// stands at /NAME/simple/, the default one at /simple/. A project belongs to one of
// them, by a rule: nothing is merged, so that nobody who can publish under a name in
// one index can have his files installed in place of another's (dependency confusion).
package indexes

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// Index is one index beside the default one.
type Index struct {
	Name  string       // the first part of its addresses
	Front http.Handler // serves /simple/, /files/ and /integrity/
}

// Handler gives each request to the index that it is for.
type Handler struct {
	front  http.Handler
	others map[string]http.Handler
	owner  func(pypi.Name) string
}

// New makes a handler. owner gives the name of the index that a project belongs to,
// "" for the default one, whose front is the first argument.
func New(front http.Handler, others []Index, owner func(pypi.Name) string) *Handler {
	h := &Handler{front: front, others: make(map[string]http.Handler, len(others)), owner: owner}
	for _, x := range others {
		h.others[x.Name] = x.Front
	}
	return h
}

const simplePath = "/simple/"

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first, rest, inside := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if front, ok := h.others[first]; ok {
		h.serve(w, r, front, first, rest, inside)
		return
	}
	if written, ok := strings.CutPrefix(r.URL.Path, simplePath); ok && written != "" {
		name, err := pypi.ParseName(strings.TrimSuffix(written, "/"))
		if owner := h.owner(name); err == nil && owner != "" {
			// The default index has no such project, and says who has it: whoever
			// uses one address only gets it from there, and from nowhere else.
			up := strings.Repeat("../", strings.Count(written, "/")+1)
			redirect(w, r, http.StatusFound, up+owner+simplePath+string(name)+"/", string(name)+" belongs to the index "+owner+" of this box.")
			return
		}
	}
	h.front.ServeHTTP(w, r)
}

// serve has an index answer as if it were the only one. inside tells whether there
// was a slash behind its name.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, front http.Handler, name, rest string, inside bool) {
	if clean := cleaned(rest); clean != rest {
		// The front would lead to the path that it sees, which is one of the default index.
		redirect(w, r, http.StatusTemporaryRedirect, (&url.URL{Path: "/" + name + "/" + clean}).String(), "It stands without empty parts and dots in its address.")
		return
	}
	switch part, _, _ := strings.Cut(rest, "/"); part {
	case "simple", "files", "integrity":
	case "":
		ref := "simple/"
		if !inside {
			ref = name + "/simple/"
		}
		redirect(w, r, http.StatusFound, ref, "The index stands at "+ref+".")
		return
	default:
		if reply.ReadOnly(w, r) {
			reply.Text(w, r, http.StatusNotFound, "There is nothing at this address. The index stands at /"+name+"/simple/.")
		}
		return
	}
	clone := *r
	clone.URL = new(url.URL)
	*clone.URL = *r.URL
	clone.URL.Path, clone.URL.RawPath = "/"+rest, ""
	front.ServeHTTP(w, &clone)
}

// cleaned takes empty parts and dots out of a path below an index.
func cleaned(rest string) string {
	clean := strings.TrimPrefix(path.Clean("/"+rest), "/")
	if clean != "" && (strings.HasSuffix(rest, "/") || strings.HasSuffix(rest, "/.") || strings.HasSuffix(rest, "/..")) {
		clean += "/"
	}
	return clean
}

// redirect sends to an address relative to the request's own. It holds for now: rules
// can change.
func redirect(w http.ResponseWriter, r *http.Request, status int, ref, sentence string) {
	if !reply.ReadOnly(w, r) {
		return
	}
	if r.URL.RawQuery != "" {
		ref += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", ref)
	reply.Text(w, r, status, sentence)
}
