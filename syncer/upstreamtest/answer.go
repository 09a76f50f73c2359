package upstreamtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// What PyPI sends as Cache-Control.
const (
	cachePage = "max-age=600, public"
	cacheFile = "max-age=365000000, immutable, public"
)

// answer works out what a request gets: the truth, bent by the lies that were
// claimed for it.
func (s *Server) answer(r *http.Request, about subject, lies []claimed) *reply {
	c, a := s.represent(r, about, lies)
	if c != nil {
		for _, l := range lies {
			if l.lie.content != nil {
				l.lie.content(c, l.number)
			}
		}
		a = c.reply(r)
	}
	for _, l := range lies {
		l.bend(a, r)
	}
	return a
}

// represent finds what a request is about: either its content, or an answer that
// has none.
func (s *Server) represent(r *http.Request, about subject, lies []claimed) (*content, *reply) {
	if about.kind == kindFeed && s.belongsHere(r, about) {
		return s.feed(r, about.call, lies)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, plain(http.StatusMethodNotAllowed)
	}
	if !s.belongsHere(r, about) {
		return nil, plain(http.StatusNotFound)
	}
	switch about.kind {
	case kindRoot:
		return s.page(r, &page{root: true, projects: s.Index.list(), serial: s.Index.Serial()}, lies)
	case kindPage:
		name, err := pypi.ParseName(about.project)
		if err != nil {
			return nil, plain(http.StatusNotFound)
		}
		if string(name) != about.project {
			return nil, moved("/simple/" + string(name) + "/")
		}
		history := s.Index.history(about.project)
		if len(history) == 0 {
			return nil, plain(http.StatusNotFound)
		}
		p := new(page)
		p.show(history[len(history)-1])
		return s.page(r, p, lies)
	case kindFile, kindMetadata:
		return s.file(r)
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/simple"); ok && strings.Count(rest, "/") <= 1 {
		name, err := pypi.ParseName(strings.TrimPrefix(rest, "/"))
		switch {
		case rest == "":
			return nil, moved("/simple/")
		case rest[0] == '/' && err == nil:
			return nil, moved("/simple/" + string(name) + "/")
		}
	}
	return nil, plain(http.StatusNotFound)
}

// belongsHere keeps pages and files apart when they have ports of their own.
func (s *Server) belongsHere(r *http.Request, about subject) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !s.SplitFiles || s.base(1) == "" {
		return true
	}
	isFile := about.kind == kindFile || about.kind == kindMetadata
	return isFile == ("http://"+local.String() == s.base(1))
}

// page renders a page as the lies want it.
func (s *Server) page(r *http.Request, p *page, lies []claimed) (*content, *reply) {
	p.apiVersion, p.dialect, p.filesBase = "1.4", s.Dialect, s.filesBase(r)
	if s.Dialect.Bare {
		p.apiVersion = "1.0"
	}
	p.mediaType = negotiate(r.Header.Get("Accept"))
	if s.Dialect.HTMLOnly {
		p.mediaType = typeText
	}
	if p.mediaType == "" {
		return nil, plain(http.StatusNotAcceptable)
	}
	for _, l := range lies {
		if l.lie.page != nil {
			l.lie.page(p, s.Index)
		}
	}
	if p.gone {
		return nil, plain(http.StatusNotFound)
	}
	text, err := p.render()
	if err != nil {
		return nil, plain(http.StatusInternalServerError)
	}
	c := &content{
		body: bytes.NewReader(text), mediaType: p.mediaType, etag: etag(text), modified: p.modified,
		header: http.Header{"Cache-Control": {cachePage}, "Vary": {"Accept, Accept-Encoding"}},
		gzip:   !s.Dialect.NoGzip && quality(r.Header.Get("Accept-Encoding"), "gzip") > 0,
	}
	if p.mediaType != typeJSON {
		c.mediaType += "; charset=utf-8"
	}
	if !s.Dialect.NoSerials {
		c.header.Set("X-PyPI-Last-Serial", strconv.FormatInt(p.serial, 10))
	}
	s.strip(c)
	return c, nil
}

// filesBase is what stands before the path of a file's URL.
func (s *Server) filesBase(r *http.Request) string {
	if s.SplitFiles {
		if base := s.base(1); base != "" {
			return base
		}
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host
}

// file finds a distribution or its metadata.
func (s *Server) file(r *http.Request) (*content, *reply) {
	f, metadata := s.Index.at(r.URL.Path)
	if f == nil || metadata && s.Dialect.NoMetadata {
		return nil, plain(http.StatusNotFound)
	}
	c := &content{
		body: f.open(), mediaType: "binary/octet-stream", etag: f.etag,
		modified: f.uploaded, ranges: !s.Dialect.NoRanges,
		header: http.Header{"Cache-Control": {cacheFile}},
	}
	if metadata {
		c.body, c.etag = bytes.NewReader(f.metadata), etag(f.metadata)
	}
	if c.ranges {
		c.header.Set("Accept-Ranges", "bytes")
	}
	s.strip(c)
	return c, nil
}

// strip takes off what the dialect lacks.
func (s *Server) strip(c *content) {
	if s.Dialect.NoValidators {
		c.etag, c.modified = "", time.Time{}
	}
}

// reply answers a request with a representation: 200, 206, 304 or 416.
func (c *content) reply(r *http.Request) *reply {
	size := c.body.Size()
	a := newReply(http.StatusOK)
	a.total = size
	for key, values := range c.header {
		a.header[key] = values
	}
	if c.etag != "" {
		a.header.Set("ETag", c.etag)
	}
	if !c.modified.IsZero() {
		a.header.Set("Last-Modified", c.modified.UTC().Format(http.TimeFormat))
	}
	if !c.noConditions && notModified(r, c) {
		a.status = http.StatusNotModified
		return a
	}
	a.header.Set("Content-Type", c.mediaType)
	a.body, a.size = io.NewSectionReader(c.body, 0, size), size
	if c.ranges && hasRange(r) && isGet(r) && rangeHolds(r, c) {
		asked, ok, satisfiable := parseRange(r.Header.Get("Range"), size)
		switch {
		case ok && !satisfiable:
			a.replace(http.StatusRequestedRangeNotSatisfiable, "text/plain", nil)
			a.header.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		case ok:
			a.status = http.StatusPartialContent
			a.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", asked.from, asked.to-1, size))
			a.size = asked.to - asked.from
			a.body = io.NewSectionReader(c.body, asked.from, a.size)
		}
	}
	if c.gzip {
		a.compress()
	}
	return a
}

// compress packs a page as PyPI does. It keeps the ETag, as PyPI does too.
func (a *reply) compress() {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := io.Copy(w, a.body)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		a.replace(http.StatusInternalServerError, "text/plain", []byte(err.Error()))
		return
	}
	a.header.Set("Content-Encoding", "gzip")
	a.body, a.size = &packed, int64(packed.Len())
}

func newReply(status int) *reply {
	return &reply{status: status, header: http.Header{}, cutAt: -1, stallAt: -1}
}

// plain is an answer that says its status in a line of text.
func plain(status int) *reply {
	a := newReply(status)
	a.replace(status, "text/plain; charset=utf-8", []byte(strconv.Itoa(status)+" "+http.StatusText(status)+"\n"))
	return a
}

func moved(to string) *reply {
	a := newReply(0)
	a.replace(http.StatusMovedPermanently, "text/plain", nil)
	a.header.Set("Location", to)
	return a
}
