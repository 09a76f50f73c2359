package hardship

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cheeseboard/storage/pypi"
)

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // the answer did not come, or did not come whole
}

// whole tells whether a client takes it for a complete success.
func (a answer) whole() bool {
	return a.err == nil && (a.status == http.StatusOK || a.status == http.StatusPartialContent)
}

// String is short enough for a table.
func (a answer) String() string {
	switch {
	case a.err != nil && a.status == 0:
		return "no answer"
	case a.err != nil:
		return fmt.Sprintf("%d, broken off after %d bytes", a.status, len(a.body))
	case a.status == http.StatusOK:
		return fmt.Sprintf("200, %d bytes", len(a.body))
	}
	s := fmt.Sprint(a.status)
	if after := a.header.Get("Retry-After"); after != "" {
		s += ", come back in " + after + " s"
	}
	return s
}

// get asks the box; header holds keys and values in turn.
func (b *box) get(address string, header ...string) answer {
	b.Helper()
	return b.getWithin(timeout(b), address, header...)
}

func (b *box) getWithin(ctx context.Context, address string, header ...string) answer {
	b.Helper()
	resp, err := b.ask(ctx, address, header...)
	if err != nil {
		return answer{err: err}
	}
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.err = io.ReadAll(resp.Body)
	check(b, resp.Body.Close())
	return a
}

// ask sends a request and leaves the body to be read.
func (b *box) ask(ctx context.Context, address string, header ...string) (*http.Response, error) {
	b.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.url + address
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	must(b, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return b.client.Do(req)
}

// page is a project's page as a client read it.
type page struct {
	answer
	files []listed
	names []string // of the files, sorted
	state string   // the project's status
}

// listed is one file of a page.
type listed struct {
	name, url, sha256, metadata string
	size                        int64
	yanked                      any
}

// page asks for a page as pip does (JSON).
func (b *box) page(project string, header ...string) page {
	b.Helper()
	address := b.url + "/simple/" + project + "/"
	return b.read(address, project, b.get(address, append([]string{"Accept", pypi.ContentTypeJSON}, header...)...))
}

// read reads a page in JSON.
func (b *box) read(address, project string, a answer) page {
	b.Helper()
	p := page{answer: a}
	if !p.whole() {
		return p
	}
	var body struct {
		Meta struct {
			Version string `json:"api-version"`
		} `json:"meta"`
		Name   string `json:"name"`
		Status struct {
			State string `json:"status"`
		} `json:"project-status"`
		Files []struct {
			Filename string            `json:"filename"`
			URL      string            `json:"url"`
			Hashes   map[string]string `json:"hashes"`
			Metadata json.RawMessage   `json:"core-metadata"`
			Size     int64             `json:"size"`
			Yanked   any               `json:"yanked"`
		} `json:"files"`
	}
	if err := json.Unmarshal(p.body, &body); err != nil {
		b.Fatalf("the page of %s is no JSON: %v\n%.500s", project, err, p.body)
	}
	if body.Name != project || !strings.HasPrefix(body.Meta.Version, "1.") {
		b.Errorf("the page of %s says that it is of %q, version %q", project, body.Name, body.Meta.Version)
	}
	p.state = body.Status.State
	base, err := url.Parse(address)
	must(b, err)
	for _, f := range body.Files {
		ref, err := base.Parse(f.URL)
		must(b, err)
		var m map[string]string
		if len(f.Metadata) > 0 && f.Metadata[0] == '{' {
			must(b, json.Unmarshal(f.Metadata, &m))
		}
		p.files = append(p.files, listed{f.Filename, ref.String(), f.Hashes["sha256"], m["sha256"], f.Size, f.Yanked})
		p.names = append(p.names, f.Filename)
	}
	slices.Sort(p.names)
	return p
}

// html asks for the same page as a browser does, and reads its links.
func (b *box) html(project string) page {
	b.Helper()
	address := b.url + "/simple/" + project + "/"
	p := page{answer: b.get(address, "Accept", pypi.ContentTypeLegacyHTML)}
	if !p.whole() {
		return p
	}
	base, err := url.Parse(address)
	must(b, err)
	decoded, refused, err := pypi.DecodeProjectHTML(p.body, pypi.Name(project), base)
	if err != nil || len(refused) > 0 {
		b.Fatalf("the page of %s is no HTML of ours: %v, %v\n%.500s", project, err, refused, p.body)
	}
	p.state = decoded.Status.State
	for _, f := range decoded.Files {
		d, _ := f.Hashes.SHA256()
		one := listed{name: f.Filename, url: f.URL, sha256: d.String()}
		if m, ok := f.CoreMetadata.Hashes.SHA256(); ok {
			one.metadata = m.String()
		}
		p.files = append(p.files, one)
		p.names = append(p.names, f.Filename)
	}
	slices.Sort(p.names)
	return p
}

// file finds a file on the page; a zero one where it is not listed.
func (p page) file(name string) listed {
	for _, f := range p.files {
		if f.name == name {
			return f
		}
	}
	return listed{}
}
