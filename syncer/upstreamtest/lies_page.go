package upstreamtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// Quarantined answers as for a project in quarantine (PEP 792): 200, the status,
// no files. The index itself stays as it is.
func Quarantined(reason string) Lie {
	return pageLie("quarantined", func(p *page, _ *Index) {
		p.status = pypi.Status{State: pypi.StatusQuarantined, Reason: reason}
		p.files = nil
	})
}

// EmptyPage is a valid page from which all files, or all projects, are gone.
func EmptyPage() Lie {
	return pageLie("empty", func(p *page, _ *Index) { p.files, p.versions, p.projects = nil, nil, nil })
}

// Stale answers a project page as it was changes states ago (or at first, if it
// never had that many), with the serial that it had then: a cache that is behind
// what the change feed promised.
func Stale(changes int) Lie {
	return pageLie(fmt.Sprintf("stale:%d", changes), func(p *page, x *Index) {
		if history := x.history(string(p.name)); len(history) > 0 {
			p.show(history[max(0, len(history)-1-changes)])
		}
	})
}

// APIVersion states another version of the API: "2.0" must be refused.
func APIVersion(version string) Lie {
	return pageLie("api-version:"+version, func(p *page, _ *Index) { p.apiVersion = version })
}

// HTMLAsJSON sends the HTML page to whoever asked for JSON, as JSON.
func HTMLAsJSON() Lie {
	return pageLie("html-as-json", func(p *page, _ *Index) { p.asHTML = true })
}

// WrongHashes states digests that the files do not have.
func WrongHashes() Lie {
	return pageLie("wrong-hashes", func(p *page, _ *Index) {
		p.edit(func(f *file) { f.sha256 = hexSum([]byte(f.sha256)) })
	})
}

// WrongMetadataHashes states digests that the metadata files do not have.
func WrongMetadataHashes() Lie {
	return pageLie("wrong-metadata-hashes", func(p *page, _ *Index) {
		p.edit(func(f *file) { f.metadataSHA256 = hexSum([]byte(f.metadataSHA256)) })
	})
}

// WrongSizes adds by to every size that the page states.
func WrongSizes(by int64) Lie {
	return pageLie(fmt.Sprintf("wrong-sizes:%+d", by), func(p *page, _ *Index) {
		p.edit(func(f *file) { f.size += by })
	})
}

// FilesOn sends every file's URL to another place: "http://127.0.0.1:9",
// "file://", "javascript:alert(1)//".
func FilesOn(base string) Lie {
	return pageLie("files-on:"+base, func(p *page, _ *Index) {
		p.edit(func(f *file) { f.url = base + escapePath(f.path) })
	})
}

// Hostile adds files to a page that no reader may take: names with paths and
// control characters, negative and absurd sizes, URLs that are not http, digests
// that are none. The honest files stay among them.
func Hostile() Lie {
	return pageLie("hostile", func(p *page, _ *Index) {
		if p.root {
			p.projects = append(slices.Clone(p.projects), hostileProjects(p.serial)...)
			return
		}
		p.files = append(hostileFiles(p), p.files...)
	})
}

// HostileFilenames are the names on a page that Hostile bent for project, beside
// the honest ones.
func HostileFilenames(project string) []string {
	var names []string
	for _, f := range hostileFiles(&page{name: pypi.Name(project)}) {
		names = append(names, f.filename)
	}
	return names
}

func hostileProjects(serial int64) []state {
	var out []state
	for _, name := range []string{"../../etc", "..", "", "a b", "<script>", "e\u0301clair", strings.Repeat("x", 5000)} {
		out = append(out, state{name: "hostile", display: name, serial: serial})
	}
	return out
}

func hostileFiles(p *page) []*file {
	stem := escapeName(string(p.name)) + "-66."
	honest := func(minor int) *file {
		name := fmt.Sprintf("%s%d-py3-none-any.whl", stem, minor)
		return &file{
			filename: name, version: fmt.Sprintf("66.%d", minor), size: 1000, uploaded: epoch,
			sha256: hexSum([]byte(name)), path: packagePath(name, ""),
		}
	}
	bend := []func(*file){
		func(f *file) { f.filename = "../../../../etc/cron.d/" + f.filename },
		func(f *file) { f.filename = `..\..\` + f.filename },
		func(f *file) { f.filename = "/etc/" + f.filename },
		func(f *file) { f.filename = "." + f.filename },
		func(f *file) { f.filename = "a\x00b\n\r\x1b[31m" + f.filename },
		func(f *file) { f.filename = strings.Repeat("x", 4000) + f.filename },
		func(f *file) { f.filename = "" },
		func(f *file) { f.size = -1 },
		func(f *file) { f.size = 1 << 62 },
		func(f *file) { f.url = "javascript:alert(1)" },
		func(f *file) { f.url = "file:///etc/passwd" },
		func(f *file) { f.url = "http://[::1" },
		func(f *file) { f.url = "gopher://127.0.0.1:70/" + f.filename },
		func(f *file) { f.sha256 = "abc" },
		func(f *file) { f.sha256 = strings.Repeat("zz", 32) },
	}
	var out []*file
	for i, change := range bend {
		f := honest(i)
		change(f)
		out = append(out, f)
	}
	return out
}

// pageLie is a lie in what a page says. The ETag comes from what is rendered, so
// it is another one; the date moves on, for clients that know nothing else.
func pageLie(name string, bend func(*page, *Index)) Lie {
	return Lie{Name: name, page: func(p *page, x *Index) {
		p.modified = p.modified.Add(time.Second)
		bend(p, x)
	}}
}

// show makes the page say what a state says.
func (p *page) show(s state) {
	p.name, p.status, p.versions = s.name, s.status, s.versions
	p.files, p.serial, p.modified, p.gone = s.offered(), s.serial, s.modified, s.gone
}

// edit changes copies of the files.
func (p *page) edit(change func(*file)) {
	files := make([]*file, 0, len(p.files))
	for _, f := range p.files {
		duplicate := *f
		change(&duplicate)
		files = append(files, &duplicate)
	}
	p.files = files
}
