package upstreamtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
)

// Sdist describes a source distribution (PEP 625) with setup.py, pyproject.toml
// and PKG-INFO. Equal values build equal bytes.
type Sdist struct {
	Name           string
	Version        string
	Requires       []string // install_requires and Requires-Dist, verbatim
	Extras         []string // Provides-Extra
	RequiresPython string
	Payload        int // bytes of filler that does not compress
	Seed           uint64
}

// Filename is NAME-VERSION.tar.gz with the name as PEP 625 wants it.
func (d Sdist) Filename() string { return d.stem() + ".tar.gz" }

// Metadata is the PKG-INFO of the sdist. PyPI offers none beside an sdist.
func (d Sdist) Metadata() []byte {
	return coreMetadata{
		name: d.Name, version: d.Version,
		requires: d.Requires, extras: d.Extras, requiresPython: d.RequiresPython,
	}.render()
}

// Build makes the bytes of the sdist.
func (d Sdist) Build() ([]byte, error) {
	if err := checkRelease(d.Name, d.Version); err != nil {
		return nil, fmt.Errorf("build sdist: %w", err)
	}
	var out bytes.Buffer
	gz := gzip.NewWriter(&out) // its zero header states no time
	tw := tar.NewWriter(gz)
	for _, f := range d.files() {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: d.stem() + "/" + f.name,
			Mode: 0o644, Size: int64(len(f.content)), ModTime: epoch, Format: tar.FormatPAX,
		}
		if err := tw.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("build %s: %w", d.Filename(), err)
		}
		if _, err := tw.Write(f.content); err != nil {
			return nil, fmt.Errorf("build %s: %w", d.Filename(), err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, fmt.Errorf("build %s: %w", d.Filename(), err)
	}
	if err := gz.Close(); err != nil {
		return nil, fmt.Errorf("build %s: %w", d.Filename(), err)
	}
	return out.Bytes(), nil
}

func (d Sdist) stem() string { return escapeName(d.Name) + "-" + escapeVersion(d.Version) }

type sourceFile struct {
	name    string
	content []byte
}

func (d Sdist) files() []sourceFile {
	pkg := escapeName(d.Name)
	pyproject := "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n"
	files := []sourceFile{
		{"PKG-INFO", d.Metadata()},
		{"pyproject.toml", []byte(pyproject)},
		{"setup.py", d.setup()},
		{pkg + "/__init__.py", []byte(initModule(d.Name, d.Version))},
	}
	if d.Payload > 0 {
		files = append(files, sourceFile{pkg + "/payload.bin", filler(d.Seed, d.Filename(), d.Payload)})
	}
	return files
}

func (d Sdist) setup() []byte {
	var b strings.Builder
	b.WriteString("from setuptools import setup\n\nsetup(\n")
	fmt.Fprintf(&b, "    name=%q,\n    version=%q,\n    packages=[%q],\n", d.Name, d.Version, escapeName(d.Name))
	if d.RequiresPython != "" {
		fmt.Fprintf(&b, "    python_requires=%q,\n", d.RequiresPython)
	}
	b.WriteString("    install_requires=[")
	for _, r := range d.Requires {
		fmt.Fprintf(&b, "%q, ", r)
	}
	b.WriteString("],\n)\n")
	return []byte(b.String())
}
