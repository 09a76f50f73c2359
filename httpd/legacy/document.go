package legacy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"cheeseboard/httpd/files"
	"cheeseboard/storage/pypi"
)

// document is the answer, as PyPI documents it (docs.pypi.org/api/json). Of one
// release it has no Releases. Vulnerabilities are not known here: null, for an
// empty list would say that there are none.
type document struct {
	Info            fields             `json:"info"`
	LastSerial      int64              `json:"last_serial"`
	Releases        *map[string][]file `json:"releases,omitempty"`
	URLs            []file             `json:"urls"`
	Vulnerabilities []struct{}         `json:"vulnerabilities"`
}

// file is one file of a release.
type file struct {
	CommentText    *string           `json:"comment_text"`
	CoreMetadata   any               `json:"core-metadata"` // false, or digests as in the simple API
	Digests        map[string]string `json:"digests"`
	Downloads      int               `json:"downloads"` // -1, as on PyPI
	Filename       string            `json:"filename"`
	HasSig         bool              `json:"has_sig"`
	MD5            *string           `json:"md5_digest"`
	PackageType    string            `json:"packagetype"`
	PythonVersion  string            `json:"python_version"`
	RequiresPython *string           `json:"requires_python"`
	Size           int64             `json:"size"`
	UploadTime     string            `json:"upload_time"`
	UploadTimeISO  string            `json:"upload_time_iso_8601"`
	URL            string            `json:"url"`
	Yanked         bool              `json:"yanked"`
	YankedReason   *string           `json:"yanked_reason"`
}

// release is the files of one version.
type release struct {
	version pypi.Version
	files   []*File
}

// releasesOf sorts files by version, the oldest first. A file whose name tells no
// version belongs to no release.
func releasesOf(name pypi.Name, list []File) []release {
	var out []release
	for i := range list {
		v, _, err := pypi.DistributionVersion(name, list[i].Filename)
		if err != nil {
			continue
		}
		at, found := slices.BinarySearchFunc(out, v, func(r release, v pypi.Version) int { return r.version.Compare(v) })
		if !found {
			out = slices.Insert(out, at, release{version: v})
		}
		out[at].files = append(out[at].files, &list[i])
	}
	return out
}

// newest is the release that stands for the project, as on PyPI: the last one that
// is no pre-release and not yanked, else the last pre-release, else the last; -1
// where there is none.
func newest(list []release) int {
	best, rank := -1, -1
	for i := range list {
		r := 0
		if !list[i].yanked() {
			if r = 1; !list[i].version.IsPrerelease() {
				r = 2
			}
		}
		if r >= rank {
			best, rank = i, r
		}
	}
	return best
}

func find(list []release, v pypi.Version) int {
	return slices.IndexFunc(list, func(r release) bool { return r.version.Compare(v) == 0 })
}

// yanked tells whether all of a release is.
func (r *release) yanked() bool {
	return !slices.ContainsFunc(r.files, func(f *File) bool { return !f.Yanked.Is })
}

const isoTime = "2006-01-02T15:04:05"

func filesOf(r *release, name pypi.Name, base string) []file {
	out := make([]file, 0, len(r.files))
	for _, f := range r.files {
		digest, _ := f.Hashes.SHA256()
		uploaded := f.UploadTime
		if uploaded.IsZero() {
			uploaded = f.Arrived
		}
		uploaded = uploaded.UTC()
		e := file{
			CoreMetadata: false, Digests: map[string]string{}, Downloads: -1, Filename: f.Filename, HasSig: false, // signatures are not kept
			RequiresPython: orNull(f.RequiresPython), Size: f.Size,
			UploadTime: uploaded.Format(isoTime), UploadTimeISO: uploaded.Format(isoTime + ".000000Z"),
			URL:    base + files.MirrorPath + string(name) + "/" + digest.String() + "/" + url.PathEscape(f.Filename),
			Yanked: f.Yanked.Is, YankedReason: orNull(f.Yanked.Reason),
		}
		for _, h := range f.Hashes {
			e.Digests[h.Algorithm] = h.Hex
			if h.Algorithm == "md5" {
				e.MD5 = &h.Hex
			}
		}
		if sum, ok := f.CoreMetadata.Hashes.SHA256(); ok && f.CoreMetadata.Available {
			e.CoreMetadata = map[string]string{"sha256": sum.String()}
		}
		e.PackageType, e.PythonVersion = kindOf(name, f.Filename)
		out = append(out, e)
	}
	return out
}

// kindOf gives packagetype and python_version, as uploads state them.
func kindOf(name pypi.Name, filename string) (kind, python string) {
	_, k, _ := pypi.DistributionVersion(name, filename)
	switch k {
	case pypi.KindSdist:
		return "sdist", "source"
	case pypi.KindWheel:
		parts := strings.Split(strings.TrimSuffix(filename, ".whl"), "-")
		return "bdist_wheel", parts[max(0, len(parts)-3)]
	}
	for ending, kind := range map[string]string{".egg": "bdist_egg", ".exe": "bdist_wininst", ".msi": "bdist_msi", ".rpm": "bdist_rpm", ".dmg": "bdist_dmg"} {
		if strings.HasSuffix(filename, ending) {
			return kind, "any"
		}
	}
	return "bdist_dumb", "any"
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// fields are the info of a release. What its metadata do not state, or what is not
// known here, is null.
type fields struct {
	Author                 *string           `json:"author"`
	AuthorEmail            *string           `json:"author_email"`
	BugtrackURL            *string           `json:"bugtrack_url"`
	Classifiers            []string          `json:"classifiers"`
	Description            *string           `json:"description"`
	DescriptionContentType *string           `json:"description_content_type"`
	DocsURL                *string           `json:"docs_url"`
	DownloadURL            *string           `json:"download_url"`
	Downloads              map[string]int    `json:"downloads"`
	Dynamic                []string          `json:"dynamic"`
	HomePage               *string           `json:"home_page"`
	Keywords               *string           `json:"keywords"`
	License                *string           `json:"license"`
	LicenseExpression      *string           `json:"license_expression"`
	LicenseFiles           []string          `json:"license_files"`
	Maintainer             *string           `json:"maintainer"`
	MaintainerEmail        *string           `json:"maintainer_email"`
	Name                   string            `json:"name"`
	PackageURL             *string           `json:"package_url"`
	Platform               *string           `json:"platform"`
	ProjectURL             *string           `json:"project_url"`
	ProjectURLs            map[string]string `json:"project_urls"`
	ProvidesExtra          []string          `json:"provides_extra"`
	ReleaseURL             *string           `json:"release_url"`
	RequiresDist           []string          `json:"requires_dist"`
	RequiresPython         *string           `json:"requires_python"`
	Summary                *string           `json:"summary"`
	Version                *string           `json:"version"`
	Yanked                 bool              `json:"yanked"`
	YankedReason           *string           `json:"yanked_reason"`
}

// info reads the fields from the core metadata of a release's first file that has
// them; r may be nil.
func info(p *Project, name pypi.Name, r *release) (fields, error) {
	f := fields{Name: string(name), Classifiers: []string{}, Downloads: map[string]int{"last_day": -1, "last_month": -1, "last_week": -1}}
	if r == nil {
		return f, nil
	}
	version := r.version.String()
	f.Version, f.Yanked = &version, r.yanked()
	for _, file := range r.files {
		f.RequiresPython = cmpNull(f.RequiresPython, file.RequiresPython)
		if f.Yanked {
			f.YankedReason = cmpNull(f.YankedReason, file.Yanked.Reason)
		}
	}
	for _, file := range r.files {
		raw, err := p.Metadata(&file.File)
		if err != nil {
			return f, fmt.Errorf("read metadata of %s: %w", file.Filename, err)
		}
		if raw != nil {
			f.take(name, pypi.MetadataFields(raw[:min(len(raw), maxMetadata)]))
			break
		}
	}
	return f, nil
}

func cmpNull(is *string, or string) *string {
	if is != nil {
		return is
	}
	return orNull(or)
}

// take fills in what metadata state.
func (f *fields) take(name pypi.Name, list []pypi.MetadataField) {
	single := map[string]**string{
		"author": &f.Author, "author-email": &f.AuthorEmail, "description": &f.Description,
		"description-content-type": &f.DescriptionContentType, "download-url": &f.DownloadURL, "home-page": &f.HomePage,
		"keywords": &f.Keywords, "license": &f.License, "license-expression": &f.LicenseExpression,
		"maintainer": &f.Maintainer, "maintainer-email": &f.MaintainerEmail, "platform": &f.Platform,
		"requires-python": &f.RequiresPython, "summary": &f.Summary,
	}
	many := map[string]*[]string{
		"classifier": &f.Classifiers, "dynamic": &f.Dynamic, "license-file": &f.LicenseFiles,
		"provides-extra": &f.ProvidesExtra, "requires-dist": &f.RequiresDist,
	}
	for _, m := range list {
		if to := single[m.Key]; to != nil && m.Value != "" {
			*to = &m.Value
		}
		if to := many[m.Key]; to != nil {
			*to = append(*to, m.Value)
		}
		switch m.Key {
		case "name":
			if n, err := pypi.ParseName(m.Value); err == nil && n == name {
				f.Name = m.Value
			}
		case "project-url":
			if label, address, ok := strings.Cut(m.Value, ","); ok {
				if f.ProjectURLs == nil {
					f.ProjectURLs = make(map[string]string)
				}
				f.ProjectURLs[strings.TrimSpace(label)] = strings.TrimSpace(address)
			}
		}
	}
}
