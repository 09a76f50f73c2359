package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// answer is what a box said to one request.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration // to the last byte
}

// ask sends one request over a connection of its own and reads all that comes.
func ask(ctx context.Context, address, accept string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	begun := time.Now()
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }() // all that matters was read
	a := answer{status: response.StatusCode, header: response.Header}
	a.body, err = io.ReadAll(response.Body)
	a.took = time.Since(begun)
	return a, err
}

// offer is one file on a page.
type offer struct {
	filename string
	url      string // absolute
	sha256   string
	metadata string // SHA-256 of FILE.metadata; "" where none is offered
}

// page is a project page as a client reads it.
type page struct {
	answer
	versions []string // JSON only
	offers   []offer
}

// filenames are those of the offers, in their order.
func (p page) filenames() []string {
	var names []string
	for _, o := range p.offers {
		names = append(names, o.filename)
	}
	return names
}

// readPage asks for a page in one of the two forms. It reads them by itself, not
// by the program's own codecs. An answer that is no page has no offers.
func readPage(ctx context.Context, address, form string) (page, error) {
	a, err := ask(ctx, address, form)
	p := page{answer: a}
	if err != nil || a.status != http.StatusOK {
		return p, err
	}
	if got := a.header.Get("Content-Type"); got != form {
		return p, fmt.Errorf("%s came as %s, not as %s", address, got, form)
	}
	if form == formJSON {
		err = p.parseJSON()
	} else {
		err = p.parseHTML()
	}
	base, baseErr := url.Parse(address)
	if err != nil || baseErr != nil {
		return p, fmt.Errorf("read %s: %w, %w", address, err, baseErr)
	}
	for i := range p.offers {
		u, err := base.Parse(p.offers[i].url)
		if err != nil {
			return p, fmt.Errorf("read %s: %w", address, err)
		}
		u.Fragment = ""
		p.offers[i].url = u.String()
	}
	return p, nil
}

func (p *page) parseJSON() error {
	var text struct {
		Versions []string
		Files    []struct {
			Filename string
			URL      string
			Hashes   map[string]string
			Metadata json.RawMessage `json:"core-metadata"`
		}
	}
	if err := json.Unmarshal(p.body, &text); err != nil {
		return err
	}
	p.versions = text.Versions
	for _, f := range text.Files {
		o := offer{filename: f.Filename, url: f.URL, sha256: f.Hashes["sha256"]}
		var hashes map[string]string
		if json.Unmarshal(f.Metadata, &hashes) == nil {
			o.metadata = hashes["sha256"]
		}
		p.offers = append(p.offers, o)
	}
	return nil
}

var (
	anchor          = regexp.MustCompile(`(?s)<a ([^>]*)>([^<]*)</a>`)
	hrefOf          = regexp.MustCompile(`href="([^"]*)"`)
	metadataOfOffer = regexp.MustCompile(`data-core-metadata="sha256=([0-9a-f]{64})"`)
)

func (p *page) parseHTML() error {
	for _, a := range anchor.FindAllSubmatch(p.body, -1) {
		href := hrefOf.FindSubmatch(a[1])
		if href == nil {
			return fmt.Errorf("an anchor without href: %s", a[0])
		}
		o := offer{filename: html.UnescapeString(strings.TrimSpace(string(a[2]))), url: html.UnescapeString(string(href[1]))}
		_, o.sha256, _ = strings.Cut(o.url, "#sha256=")
		if m := metadataOfOffer.FindSubmatch(a[1]); m != nil {
			o.metadata = string(m[1])
		}
		p.offers = append(p.offers, o)
	}
	return nil
}

// check fetches what is offered, and its metadata, and compares digests.
func (o offer) check(ctx context.Context) error {
	parts := map[string]string{o.url: o.sha256}
	if o.metadata != "" {
		parts[o.url+".metadata"] = o.metadata
	}
	for address, want := range parts {
		a, err := ask(ctx, address, "")
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(a.body); a.status != http.StatusOK || hex.EncodeToString(sum[:]) != want {
			return fmt.Errorf("%s: status %d, %d bytes that do not have the digest %s", address, a.status, len(a.body), want)
		}
	}
	return nil
}
