package webui

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// SearchPath is where names are searched for: SearchPath?q=WORDS, as a page for
// people, or with &format=json for machines.
const SearchPath = "/search"

// maxFound is how many names a search shows.
const maxFound = 50

// Found is the answer to a search, and its JSON form.
type Found struct {
	Query string      `json:"query"`
	Names []pypi.Name `json:"names"` // the best first
	More  bool        `json:"more"`  // there are more than these
}

// ErrQuery is what a Searcher gives, wrapped in a sentence for people, where it can
// make nothing of the words.
var ErrQuery = errors.New("nothing can be searched for by these words")

// Searcher finds names of projects, at most limit of them.
type Searcher func(words string, limit int) (Found, error)

// Search serves SearchPath.
type Search struct {
	name string
	find Searcher
	log  *slog.Logger
}

// NewSearch makes a handler that calls the box by name; "" means cheeseboard.
func NewSearch(name string, find Searcher, log *slog.Logger) *Search {
	return &Search{name: named(name), find: find, log: log}
}

var searchPage = parse(`<h1><a href="./">{{.Name}}</a></h1>
<form action="search"><input name="q" type="search" value="{{.Found.Query}}" maxlength="200" aria-label="Name of a project"> <button>Search</button></form>
{{with .Sentence}}<p>{{.}}</p>
{{end}}<ul>
{{range .Found.Names}}<li><a href="project/{{.}}">{{.}}</a></li>
{{end}}</ul>
{{if .Found.More}}<p>There are more; another word makes it fewer.</p>
{{end}}`)

// ServeHTTP answers a search.
func (s *Search) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !reply.ReadOnly(w, r) {
		return
	}
	query := r.URL.Query()
	found, err := s.find(query.Get("q"), maxFound)
	found.Query = query.Get("q")
	status, sentence := http.StatusOK, ""
	switch {
	case errors.Is(err, ErrQuery):
		status, sentence = http.StatusBadRequest, err.Error()
	case err != nil:
		s.log.Error("search for a project", "query", found.Query, "error", err)
		status, sentence = http.StatusInternalServerError, "The search failed; the box has noted why."
	case len(found.Names) == 0:
		sentence = "No project is known here whose name has that."
	}
	if query.Get("format") == "json" {
		if status != http.StatusOK {
			reply.Text(w, r, status, sentence)
			return
		}
		s.json(w, r, found)
		return
	}
	send(w, r, status, searchPage, struct {
		Title, Name, Sentence string
		Found                 Found
	}{found.Query + " – " + s.name, s.name, sentence, found})
}

func (s *Search) json(w http.ResponseWriter, r *http.Request, found Found) {
	if found.Names == nil {
		found.Names = []pypi.Name{}
	}
	body, err := json.Marshal(found)
	if err != nil {
		reply.Text(w, r, http.StatusInternalServerError, "The search failed.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}
