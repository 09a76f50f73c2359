package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cheeseboard/httpd/files"
	"cheeseboard/httpd/webui"
	"cheeseboard/storage/pypi"
)

// What the pages for people show.

const (
	// shownVersions and shownFiles bound the page of a project.
	shownVersions, shownFiles = 200, 200
)

// state is how the box is.
func (a *App) state() (webui.State, error) {
	totals, err := a.census.count(a.Store)
	if err != nil {
		return webui.State{}, err
	}
	verdict := a.Health.Verdict()
	s := webui.State{Health: sentence(verdict.Summary), Line: sentence(a.Engine.Sentence()), Projects: totals.Projects, Files: totals.Files, Bytes: totals.Bytes, Mistakes: a.mistakes.all(), Addresses: a.addresses()}
	if verdict.Severity == 0 {
		s.Health = "All is well."
	}
	for _, w := range a.wings {
		s.Indexes = append(s.Indexes, webui.IndexState{Name: w.config.Name, Projects: strings.Join(w.config.Projects, ", "), Line: sentence(w.Engine.Sentence())})
	}
	return s, nil
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// project is what is known here of a project, of whatever index it is. Nobody is
// asked.
func (a *App) project(_ context.Context, name pypi.Name) (webui.Project, error) {
	owner := a.config.Owner(name)
	s := spaceOf(a.config, owner)
	engine := a.engineOf(s.Namespace)
	if reason, blocked := engine.Blocked(name); blocked {
		return webui.Project{}, &webui.Absent{Reason: sentence(reason)}
	}
	p := webui.Project{Name: name, Index: owner}
	held, err := a.Store.Held(s.In(name))
	if err != nil {
		return p, err
	}
	gather := newGathering(name)
	withheld := 0
	known, err := a.Store.Visit(s.In(name), func(page *pypi.Project, _ uint64, list pypi.Files) error {
		p.Status, p.Reason = strings.Clone(page.Status.State), strings.Clone(page.Status.Reason)
		switch p.Status {
		case pypi.StatusQuarantined:
			return nil
		case pypi.StatusActive:
			p.Status = "" // nothing to be said
		}
		for f, err := range list {
			if err != nil {
				return err
			}
			digest, ok := f.Hashes.SHA256()
			if !ok || engine.Withheld(name, f) != "" {
				withheld++
				continue
			}
			p.Listed++
			ref, here := held[digest]
			here = here && !ref.Metadata
			v := gather.version(f, here)
			if here {
				p.Here++
				p.Bytes += ref.Size
				gather.files = append(gather.files, gatheredFile{v, webui.ProjectFile{Name: ref.Filename, Size: ref.Size, Href: files.Href(name, f)}})
			}
		}
		return nil
	})
	if err == nil && !known {
		err = &webui.Absent{Reason: fmt.Sprintf("Nothing is known of %s here yet. It is when somebody installs it.", name)}
	}
	if withheld > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d files are not offered here: they are blocked, too young, or of no stated digest. The page for pip and uv says more.", withheld))
	}
	gather.into(&p)
	return p, err
}

// gathering sorts files by version.
type gathering struct {
	name     pypi.Name
	versions map[string]*gathered
	files    []gatheredFile
}

// gatheredFile is a file with its version, which takes longer to be read than to be
// compared; zero where its name tells none.
type gatheredFile struct {
	version pypi.Version
	webui.ProjectFile
}

type gathered struct {
	version pypi.Version
	webui.ProjectVersion
}

func newGathering(name pypi.Name) *gathering {
	return &gathering{name: name, versions: make(map[string]*gathered)}
}

// version counts a file, and gives its version; one whose name tells none is left out. A
// release is yanked where all its files are.
func (g *gathering) version(f *pypi.File, here bool) pypi.Version {
	v, _, err := pypi.DistributionVersion(g.name, f.Filename)
	if err != nil {
		return pypi.Version{}
	}
	key := v.String()
	of := g.versions[key]
	if of == nil {
		of = &gathered{version: v, ProjectVersion: webui.ProjectVersion{Version: key, Yanked: true}}
		g.versions[key] = of
	}
	of.Files++
	if here {
		of.Here++
	}
	if !f.UploadTime.IsZero() && (of.Uploaded.IsZero() || f.UploadTime.Before(of.Uploaded)) {
		of.Uploaded = f.UploadTime
	}
	of.Yanked = of.Yanked && f.Yanked.Is
	if of.Reason == "" {
		of.Reason = strings.Clone(f.Yanked.Reason)
	}
	return of.version // of the first, so that no other file's memory is kept
}

// into puts the newest into a page.
func (g *gathering) into(p *webui.Project) {
	all := slices.SortedFunc(maps.Values(g.versions), func(a, b *gathered) int { return b.version.Compare(a.version) })
	for _, v := range all[:min(len(all), shownVersions)] {
		p.Versions = append(p.Versions, v.ProjectVersion)
	}
	p.MoreVersions = len(all) - len(p.Versions)
	slices.SortStableFunc(g.files, func(a, b gatheredFile) int { return b.version.Compare(a.version) })
	for _, f := range g.files[:min(len(g.files), shownFiles)] {
		p.Files = append(p.Files, f.ProjectFile)
	}
	p.MoreFiles = len(g.files) - len(p.Files)
}

// known gives the names that a search found as clients know them: those of other
// indexes too, but none that is kept for an index to which it does not belong, and
// none of ours that only an upstream knows.
func (a *App) known(found []pypi.Name) []pypi.Name {
	return slices.DeleteFunc(found, func(kept pypi.Name) bool {
		name, of := kept.Apart()
		_, blocked := a.Engine.Blocked(name)
		return blocked || a.ours.foreign(name) || a.config.Owner(name) != string(of)
	})
}
