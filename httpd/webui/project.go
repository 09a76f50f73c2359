package webui

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// ProjectPath is where the pages of projects stand: ProjectPath + NAME.
const ProjectPath = "/project/"

const (
	// maxPages is how many pages are made at once, and turnWait how long somebody waits
	// for his turn: that of a large project takes tens of megabytes meanwhile.
	maxPages = 4
	turnWait = 10 * time.Second
)

//go:embed project.html
var projectText string

var (
	projectPage = parse(projectText)
	absentPage  = parse(`<p><a href="../">{{.Name}}</a></p>
<h1>{{.Project}}</h1>
<p>{{.Sentence}}</p>
`)
)

// Project is what is known here of a project, the newest first.
type Project struct {
	Name           pypi.Name
	Index          string // the index that it comes from; "" for the default one
	Summary        string // in one line; "" where it is not known
	Status, Reason string // as the index states them (PEP 792)
	Notes          []string
	Listed, Here   int // files
	Bytes          int64
	Versions       []ProjectVersion
	MoreVersions   int // that are not among them
	Files          []ProjectFile
	MoreFiles      int
}

// ProjectVersion is one version of a project.
type ProjectVersion struct {
	Version     string
	Uploaded    time.Time // its first file; zero where that is not known
	Files, Here int
	Yanked      bool
	Reason      string
}

// ProjectFile is a file that is here.
type ProjectFile struct {
	Name string
	Size int64
	Href string // relative to the simple page of the project
}

// Projects gives what is known of a project, without asking anybody. The errors are
// *Absent and internal ones. Safe for concurrent use.
type Projects func(ctx context.Context, name pypi.Name) (Project, error)

// Absent says that nothing is known of a project, or that it is not shown.
type Absent struct{ Reason string }

func (a *Absent) Error() string { return a.Reason }

// ProjectPages serves everything under ProjectPath.
type ProjectPages struct {
	name string
	find Projects
	log  *slog.Logger

	turns chan struct{} // pages that are being made
}

// NewProjects makes a handler that calls the box by name; "" means cheeseboard. A nil
// log discards.
func NewProjects(name string, find Projects, log *slog.Logger) *ProjectPages {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &ProjectPages{named(name), find, log, make(chan struct{}, maxPages)}
}

// Simple is the project's page for installers, relative to this one.
func (p Project) Simple() string { return p.root() + "simple/" + string(p.Name) + "/" }

// root is where the project's index stands, relative to this page.
func (p Project) root() string {
	if p.Index != "" {
		return "../" + p.Index + "/"
	}
	return "../"
}

// look finds a project, in its turn; false where that does not come in time.
func (h *ProjectPages) look(ctx context.Context, name pypi.Name) (p Project, ok bool, err error) {
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-timer.C:
		return p, false, nil
	case <-ctx.Done():
		return p, false, nil // nobody is left to be told
	}
	p, err = h.find(ctx, name)
	return p, true, err
}

// ServeHTTP answers with the page of a project.
func (h *ProjectPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !reply.ReadOnly(w, r) {
		return
	}
	written := strings.TrimPrefix(r.URL.Path, ProjectPath)
	name, err := pypi.ParseName(strings.TrimSuffix(written, "/"))
	switch {
	case err != nil:
		reply.Text(w, r, http.StatusNotFound, "That is not the name of a project.")
		return
	case written != string(name):
		ref := "./"
		if strings.HasSuffix(written, "/") {
			ref = "../"
		}
		w.Header().Set("Location", ref+string(name))
		reply.Text(w, r, http.StatusMovedPermanently, "The page stands at "+ref+string(name))
		return
	}
	p, ok, err := h.look(r.Context(), name)
	if !ok {
		reply.Later(w, r, turnWait, "Too many pages of projects are asked for. Please try again.")
		return
	}
	var absent *Absent
	switch {
	case errors.As(err, &absent):
		send(w, r, http.StatusNotFound, absentPage, struct {
			Title, Name, Sentence string
			Project               pypi.Name
		}{string(name) + " – " + h.name, h.name, absent.Reason, name})
	case err != nil:
		h.log.Error("show a project", "project", name, "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The project could not be read. The log of the box says why.")
	default:
		for i := range p.Files {
			p.Files[i].Href = p.root() + strings.TrimPrefix(p.Files[i].Href, "../../") // from the page for installers
		}
		send(w, r, http.StatusOK, projectPage, struct {
			Title, Name string
			Project     Project
		}{string(name) + " – " + h.name, h.name, p})
	}
}
