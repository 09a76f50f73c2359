package upstreamtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// page is what a page of the index says, before it is JSON or HTML. Lies work on
// a copy, so they may change every field but not what the slices point to.
type page struct {
	root       bool
	name       pypi.Name
	status     pypi.Status
	versions   []string
	files      []*file // of a project page
	projects   []state // of the root list
	serial     int64
	modified   time.Time
	gone       bool // there is no such page
	apiVersion string
	mediaType  string // negotiated
	asHTML     bool   // render HTML whatever the media type says
	filesBase  string // what stands before the path of a file's URL
	dialect    Dialect
}

func (p *page) render() ([]byte, error) {
	switch {
	case p.mediaType != typeJSON || p.asHTML:
		return p.html(), nil
	case p.root:
		return p.rootJSON()
	default:
		return p.projectJSON()
	}
}

func (p *page) urlOf(f *file) string {
	switch {
	case f.url != "":
		return f.url
	case p.dialect.RelativeURLs:
		return "../.." + escapePath(f.path)
	default:
		return p.filesBase + escapePath(f.path)
	}
}

// escapePath escapes what may stand in a file name but not in a path as it is.
// "+" is escaped too, as PyPI does not but some indexes do: both are right.
func escapePath(path string) string {
	return strings.NewReplacer("%", "%25", "+", "%2B", " ", "%20", "#", "%23", "?", "%3F").Replace(path)
}

type jsonMeta struct {
	LastSerial int64  `json:"_last-serial,omitempty"`
	APIVersion string `json:"api-version"`
}

type jsonFile struct {
	CoreMetadata   any               `json:"core-metadata"`
	DataMetadata   any               `json:"data-dist-info-metadata"` // PyPI's spelling, kept by it for old readers
	Filename       string            `json:"filename"`
	Hashes         map[string]string `json:"hashes"`
	Provenance     *string           `json:"provenance"`
	RequiresPython *string           `json:"requires-python"`
	Size           *int64            `json:"size,omitempty"`
	UploadTime     string            `json:"upload-time,omitempty"`
	URL            string            `json:"url"`
	Yanked         any               `json:"yanked"`
}

func (p *page) projectJSON() ([]byte, error) {
	files := make([]jsonFile, 0, len(p.files))
	for _, f := range p.files {
		j := jsonFile{
			CoreMetadata: false, DataMetadata: false, Filename: f.filename, URL: p.urlOf(f),
			Hashes: map[string]string{"sha256": f.sha256}, Yanked: false,
		}
		if f.metadata != nil && !p.dialect.NoMetadata {
			j.CoreMetadata = map[string]string{"sha256": f.metadataSHA256}
			j.DataMetadata = j.CoreMetadata
		}
		if f.provenance != "" {
			j.Provenance = &f.provenance
		}
		if f.requiresPython != "" {
			j.RequiresPython = &f.requiresPython
		}
		if !p.dialect.Bare {
			j.Size = &f.size
			j.UploadTime = f.uploaded.Format("2006-01-02T15:04:05.000000Z")
		}
		if f.yanked {
			j.Yanked = true
			if f.yankReason != "" {
				j.Yanked = f.yankReason
			}
		}
		files = append(files, j)
	}
	type jsonStatus struct {
		Reason string `json:"reason,omitempty"`
		Status string `json:"status"`
	}
	out := struct {
		Files    []jsonFile  `json:"files"`
		Meta     jsonMeta    `json:"meta"`
		Name     string      `json:"name"`
		Status   *jsonStatus `json:"project-status,omitempty"`
		Versions []string    `json:"versions,omitzero"`
	}{Files: files, Meta: p.meta(), Name: string(p.name)}
	if !p.dialect.Bare {
		out.Status = &jsonStatus{Status: p.stateName(), Reason: p.status.Reason}
		out.Versions = append([]string{}, p.versions...)
	}
	return json.Marshal(out)
}

func (p *page) rootJSON() ([]byte, error) {
	type jsonProject struct {
		LastSerial int64  `json:"_last-serial,omitempty"`
		Name       string `json:"name"`
	}
	out := struct {
		Meta     jsonMeta      `json:"meta"`
		Projects []jsonProject `json:"projects"`
	}{p.meta(), make([]jsonProject, 0, len(p.projects))}
	for _, s := range p.projects {
		serial := s.serial
		if p.dialect.NoSerials {
			serial = 0
		}
		out.Projects = append(out.Projects, jsonProject{serial, s.display})
	}
	return json.Marshal(out)
}

func (p *page) meta() jsonMeta {
	m := jsonMeta{p.serial, p.apiVersion}
	if p.dialect.NoSerials {
		m.LastSerial = 0
	}
	return m
}

// stateName is the status as a page states it: PyPI always states one.
func (p *page) stateName() string {
	if p.status.State == "" {
		return pypi.StatusActive
	}
	return p.status.State
}

func (p *page) html() []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\n<html>\n  <head>\n")
	fmt.Fprintf(&b, "    <meta name=\"pypi:repository-version\" content=\"%s\">\n", html.EscapeString(p.apiVersion))
	if !p.root && !p.dialect.Bare {
		fmt.Fprintf(&b, "    <meta name=\"pypi:project-status\" content=\"%s\">\n", html.EscapeString(p.stateName()))
		if p.status.Reason != "" {
			fmt.Fprintf(&b, "    <meta name=\"pypi:project-status-reason\" content=\"%s\">\n", html.EscapeString(p.status.Reason))
		}
	}
	title, heading := "Simple index", ""
	if !p.root {
		title = "Links for " + string(p.name)
		heading = "    <h1>" + title + "</h1>\n"
	}
	fmt.Fprintf(&b, "    <title>%s</title>\n  </head>\n  <body>\n%s", title, heading)
	for _, s := range p.projects {
		fmt.Fprintf(&b, "    <a href=\"/simple/%s/\">%s</a>\n", s.name, html.EscapeString(s.display))
	}
	for _, f := range p.files {
		p.anchor(&b, f)
	}
	b.WriteString("  </body>\n</html>\n")
	if !p.dialect.NoSerials {
		fmt.Fprintf(&b, "<!--SERIAL %d-->", p.serial)
	}
	return b.Bytes()
}

func (p *page) anchor(b *bytes.Buffer, f *file) {
	attribute := func(name, value string) { fmt.Fprintf(b, " %s=\"%s\"", name, html.EscapeString(value)) }
	b.WriteString("    <a")
	attribute("href", p.urlOf(f)+"#sha256="+f.sha256)
	if f.requiresPython != "" {
		attribute("data-requires-python", f.requiresPython)
	}
	if f.yanked {
		attribute("data-yanked", f.yankReason)
	}
	if f.metadata != nil && !p.dialect.NoMetadata {
		attribute("data-dist-info-metadata", "sha256="+f.metadataSHA256)
		attribute("data-core-metadata", "sha256="+f.metadataSHA256)
	}
	if f.provenance != "" {
		attribute("data-provenance", f.provenance)
	}
	fmt.Fprintf(b, ">%s</a><br />\n", html.EscapeString(f.filename))
}
