package pypi

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
)

// DecodeProjectHTML reads a project page in its HTML form (PEP 503 with 592,
// 629, 658, 708, 714, 740 and 792, API 1.x). The parameters, the refusals and the
// errors are those of DecodeProjectJSON; a <base> is honoured, and a page without
// a version counts as 1.0. HTML has no versions, sizes and upload times, and its
// pages do not state their project, so ErrWrongProject is never returned.
//
// A link is a file if the last element of its path, or else its text, ends like
// a distribution, or if it has a digest in its fragment or one of the data
// attributes. Other links are ignored. A page that is not plainly an index is
// refused with ErrNotIndex, an empty page of an index is not.
func DecodeProjectHTML(body []byte, want Name, base *url.URL) (*Project, []Refusal, error) {
	d := &htmlProject{
		project: &Project{Name: want},
		page:    base,
		entries: newEntries(base),
	}
	d.scan = htmlScan{base: d.base, meta: d.meta, anchor: d.anchor}
	err := d.scan.run(bytes.NewReader(bytes.TrimPrefix(body, utf8BOM)))
	if err == nil {
		err = d.scan.evidence.project(want)
	}
	if err == nil && d.scan.evidence.version {
		err = checkAPIVersion(strings.TrimSpace(d.scan.version))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("decode project %s: %w", want, err)
	}
	p := d.project
	p.Status = d.entries.status(d.status)
	p.Tracks = d.entries.list("tracks", d.tracks)
	p.Alternates = d.entries.list("alternate-locations", d.alternates)
	p.LastSerial = d.scan.serial
	return p, d.entries.finish(p), nil
}

type htmlProject struct {
	scan    htmlScan
	entries *entries
	project *Project
	page    *url.URL // where the page came from, nil if not known

	status             Status
	tracks, alternates []string
}

// base takes <base href>. What is not http or https is not followed: the
// page's own URL stays the base, as in a browser.
func (d *htmlProject) base(href string) {
	s, err := resolveURL(d.entries.base, href)
	if err != nil {
		d.entries.refuse("", fmt.Sprintf("read <base>: %v", err))
		return
	}
	if u, err := parseURL(s); err == nil {
		d.entries.base = u
	}
}

func (d *htmlProject) meta(name, content string) {
	switch name {
	case "pypi:project-status":
		d.status.State = content
	case "pypi:project-status-reason":
		d.status.Reason = content
	case "pypi:tracks":
		d.tracks = append(d.tracks, content)
	case "pypi:alternate-locations":
		d.alternates = append(d.alternates, content)
	}
}

// anchor takes one link.
func (d *htmlProject) anchor(a *htmlAnchor) error {
	if !a.href.set {
		return nil
	}
	href := string(trimHTMLSpace(a.href.val))
	link, fragment, _ := strings.Cut(href, "#")
	hashes, stated, err := fragmentHashes(fragment)
	f := File{Filename: lastElement(link), URL: link, Hashes: hashes, Size: SizeUnknown}
	if text := string(a.text); !looksLikeDistribution(f.Filename) {
		switch {
		case looksLikeDistribution(text):
			f.Filename = text
		case !stated && !a.isFile():
			d.scan.evidence.strange = d.scan.evidence.strange || !isNavigation(link, d.page)
			return nil
		}
	}
	d.scan.evidence.entries++
	d.scan.evidence.named = d.scan.evidence.named || carriesName(f.Filename, d.project.Name)
	if err == nil {
		err = d.attributes(&f, a)
	}
	if err != nil {
		d.entries.refuse(f.Filename, err.Error())
		return nil
	}
	d.entries.add(f)
	return nil
}

// isFile reports whether the link has an attribute that only files have.
func (a *htmlAnchor) isFile() bool {
	for _, attr := range a.attrs() {
		if attr.set && attr != &a.href {
			return true
		}
	}
	return false
}

// attributes reads the data attributes of a link.
func (d *htmlProject) attributes(f *File, a *htmlAnchor) error {
	f.RequiresPython = d.entries.share(a.requiresPython.val)
	f.Yanked = Yanked{Is: a.yanked.set, Reason: string(a.yanked.val)}
	f.Provenance = string(trimHTMLSpace(a.provenance.val))
	switch string(trimHTMLSpace(a.gpgSig.val)) {
	case "true":
		f.GPGSig = Yes
	case "false":
		f.GPGSig = No
	}
	core := a.core
	if !core.set {
		core = a.distInfo
	}
	if !core.set {
		return nil
	}
	value := string(trimHTMLSpace(core.val))
	switch value {
	case "false":
		return nil
	case "true", "":
		f.CoreMetadata.Available = true
		return nil
	}
	algorithm, digits, _ := strings.Cut(value, "=")
	h, err := statedHash(algorithmName([]byte(algorithm)), []byte(digits))
	if err != nil {
		return fmt.Errorf("read core-metadata: %w", err)
	}
	f.CoreMetadata = CoreMetadata{Available: true, Hashes: Hashes{h}}
	return nil
}

// fragmentHashes reads the digests of a fragment, which may state other things
// beside them, such as egg=name. stated tells whether there are any.
func fragmentHashes(fragment string) (hashes Hashes, stated bool, err error) {
	var list Hashes
	for part := range strings.SplitSeq(fragment, "&") {
		algorithm, digits, ok := strings.Cut(part, "=")
		if !ok || !isLinkAlgorithm(algorithm) {
			continue
		}
		stated = true
		h, err := statedHash(algorithmName([]byte(algorithm)), []byte(digits))
		if err != nil {
			return nil, true, err
		}
		list = append(list, h)
	}
	if len(list) <= 1 {
		return list, stated, nil
	}
	hashes, err = NewHashes(list...)
	return hashes, stated, err
}

// lastElement is the file name in a URL: what follows the last slash of the
// path, unescaped. An escape that is not one is left as it is.
func lastElement(link string) string {
	path, _, _ := strings.Cut(link, "?")
	if _, rest, absolute := strings.Cut(path, "://"); absolute {
		if _, path, absolute = strings.Cut(rest, "/"); !absolute {
			return "" // a host alone
		}
	}
	path = path[strings.LastIndexByte(path, '/')+1:]
	if name, err := url.PathUnescape(path); err == nil {
		return name
	}
	return path
}

// isNavigation reports whether a link leads up from the page or only re-sorts
// it, as in the directory listings of web servers.
func isNavigation(link string, page *url.URL) bool {
	link, _, _ = strings.Cut(link, "?")
	switch link {
	case "", "/", ".", "./", "..", "../":
		return true
	}
	return page != nil && strings.HasSuffix(link, "/") && strings.HasPrefix(page.Path, link)
}
