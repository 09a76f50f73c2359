package httpd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"cheeseboard/httpd/files"
	"cheeseboard/httpd/integrity"
	"cheeseboard/httpd/legacy"
	"cheeseboard/httpd/simple"
	"cheeseboard/httpd/webui"
	"cheeseboard/storage/pypi"
)

// library has projects in which everything occurs that a page can state.
type library struct{ projects map[pypi.Name]*pypi.Project }

// bytesOf are the bytes of a file of the library, and of its metadata.
func bytesOf(filename string) []byte { return []byte("the bytes of " + filename) }

func digestOf(filename string) string { return fmt.Sprintf("%x", sha256.Sum256(bytesOf(filename))) }

func newLibrary() *library {
	file := func(filename string, change func(*pypi.File)) pypi.File {
		f := pypi.File{
			Filename: filename, URL: "https://files.example.org/" + filename, Size: int64(len(bytesOf(filename))),
			Hashes:     pypi.Hashes{{Algorithm: "sha256", Hex: digestOf(filename)}},
			UploadTime: time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC),
		}
		if change != nil {
			change(&f)
		}
		return f
	}
	metadata := func(f *pypi.File) {
		f.CoreMetadata = pypi.CoreMetadata{Available: true, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: digestOf(f.Filename + ".metadata")}}}
	}
	list := []*pypi.Project{
		{
			Name: "holy-grail", LastSerial: 42, Versions: []string{"1.0", "1.1", "2.0", "3.0"},
			Status: pypi.Status{State: pypi.StatusArchived, Reason: `"So long" & <thanks>`},
			Files: []pypi.File{
				file("holy_grail-1.0.tar.gz", nil),
				file("holy_grail-1.1-py3-none-any.whl", func(f *pypi.File) {
					metadata(f)
					f.RequiresPython = ">=3.9,<4"
					f.UploadTime = time.Date(2025, 1, 2, 3, 4, 5, 60_000_000, time.UTC)
					f.Provenance = "https://index.example.org/integrity/holy-grail/1.1/holy_grail-1.1-py3-none-any.whl/provenance"
				}),
				file("holy_grail-2.0-py3-none-any.whl", func(f *pypi.File) { f.Yanked = pypi.Yanked{Is: true, Reason: `It "breaks" <everything> & more`} }),
				file("holy_grail-3.0.tar.gz", func(f *pypi.File) { f.Yanked = pypi.Yanked{Is: true}; f.UploadTime = time.Time{} }),
			},
		},
		{Name: "quiet", LastSerial: 7, Files: []pypi.File{}},
		{
			Name: "bad", LastSerial: 43, Versions: []string{}, Status: pypi.Status{State: pypi.StatusQuarantined, Reason: "malware"},
			Files: []pypi.File{file("bad-1.0.tar.gz", nil)},
		},
	}
	l := &library{projects: make(map[pypi.Name]*pypi.Project)}
	for _, p := range list {
		l.projects[p.Name] = p
	}
	return l
}

func (l *library) Page(_ context.Context, name pypi.Name) (simple.Page, error) {
	p := l.projects[name]
	if p == nil {
		return simple.Page{}, &simple.Missing{Reason: "There is no such project."}
	}
	return simple.Page{Tag: "g" + string(name), Visit: visit(p)}, nil
}

func (l *library) Names(context.Context) (simple.Names, error) {
	return simple.Names{Tag: "list", LastSerial: 43, Each: func(yield func(pypi.ListEntry, error) bool) {
		for _, name := range []pypi.Name{"bad", "holy-grail", "quiet"} {
			if !yield(pypi.ListEntry{Name: name, Serial: l.projects[name].LastSerial}, nil) {
				return
			}
		}
	}}, nil
}

func (l *library) Open(_ context.Context, ref files.Ref) (*files.Content, error) {
	p := l.projects[ref.Name]
	if p == nil || !slices.ContainsFunc(p.Files, func(f pypi.File) bool {
		return f.Filename == ref.Filename && (!ref.Metadata || f.CoreMetadata.Available)
	}) {
		return nil, &files.Missing{Reason: "There is no such file."}
	}
	name := ref.Filename
	if ref.Metadata {
		name += ".metadata"
	}
	return &files.Content{Reader: bytes.NewReader(bytesOf(name)), Size: int64(len(bytesOf(name))), Digest: sha256.Sum256(bytesOf(name))}, nil
}

func (l *library) Here(_ context.Context, name pypi.Name) (*legacy.Project, error) {
	p := l.projects[name]
	if p == nil || p.Status.State == pypi.StatusQuarantined {
		return nil, &legacy.Missing{Reason: "There is no such project."}
	}
	out := &legacy.Project{Tag: "l" + string(name), Serial: p.LastSerial, Metadata: func(*pypi.File) ([]byte, error) { return nil, nil }}
	for _, f := range p.Files {
		out.Files = append(out.Files, legacy.File{File: f, Arrived: time.Unix(1e9, 0)})
	}
	return out, nil
}

func (l *library) Provenance(_ context.Context, name pypi.Name, filename string) ([]byte, error) {
	if name != "holy-grail" || filename != "holy_grail-1.1-py3-none-any.whl" {
		return nil, &integrity.Missing{Reason: "There is none."}
	}
	return []byte(`{"version":1,"attestation_bundles":[]}`), nil
}

func (l *library) search(string, int) (webui.Found, error) {
	return webui.Found{Names: []pypi.Name{"holy-grail"}}, nil
}

func (l *library) project(_ context.Context, name pypi.Name) (webui.Project, error) {
	if l.projects[name] == nil {
		return webui.Project{}, &webui.Absent{Reason: "There is no such project."}
	}
	return webui.Project{Name: name}, nil
}
