package pypi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/net/html"
)

const (
	maxHTMLToken  = 1 << 20 // bytes of one tag or text
	maxAnchorText = 4096    // bytes; what follows is dropped
	maxHeading    = 1024    // bytes of all titles and headings together
)

// htmlScan walks an HTML page of a simple index once, tag by tag, and keeps
// only what it needs to tell an index from another page.
type htmlScan struct {
	z *html.Tokenizer

	base   func(href string)          // for the first <base>; may be nil
	meta   func(name, content string) // for each <meta name=…>; may be nil
	anchor func(a *htmlAnchor) error  // for each <a>, once its text is known

	version  string // content of pypi:repository-version
	serial   int64  // of the trailer <!--SERIAL n-->
	evidence htmlEvidence

	open     bool // inside an <a>
	current  htmlAnchor
	heading  bool // inside <title> or <h1>
	hidden   bool // inside <style>
	baseSeen bool
}

// htmlAttr is an attribute; its bytes are good until the next anchor.
type htmlAttr struct {
	set bool
	val []byte
}

// htmlAnchor is what an <a> of an index page may say.
type htmlAnchor struct {
	href, requiresPython, yanked, core, distInfo, gpgSig, provenance htmlAttr
	text                                                             []byte
}

// slot returns where the attribute key belongs, or nil.
func (a *htmlAnchor) slot(key []byte) *htmlAttr {
	switch string(key) {
	case "href":
		return &a.href
	case "data-requires-python":
		return &a.requiresPython
	case "data-yanked":
		return &a.yanked
	case "data-core-metadata":
		return &a.core
	case "data-dist-info-metadata":
		return &a.distInfo
	case "data-gpg-sig":
		return &a.gpgSig
	case "data-provenance":
		return &a.provenance
	}
	return nil
}

func (a *htmlAnchor) attrs() [7]*htmlAttr {
	return [7]*htmlAttr{&a.href, &a.requiresPython, &a.yanked, &a.core, &a.distInfo, &a.gpgSig, &a.provenance}
}

// reset empties the anchor and keeps its memory.
func (a *htmlAnchor) reset() {
	for _, attr := range a.attrs() {
		attr.set, attr.val = false, attr.val[:0]
	}
	a.text = a.text[:0]
}

// run walks the page to its end. Its error wraps ErrNotIndex, or ErrTruncated,
// or is the source's or a callback's own.
func (s *htmlScan) run(src io.Reader) error {
	s.z = html.NewTokenizer(src)
	s.z.SetMaxBuf(maxHTMLToken)
	for {
		var err error
		switch s.z.Next() {
		case html.ErrorToken:
			return s.end()
		case html.TextToken:
			s.text(s.z.Text())
		case html.StartTagToken, html.SelfClosingTagToken:
			err = s.start()
		case html.EndTagToken:
			name, _ := s.z.TagName()
			err = s.close(string(name))
		case html.CommentToken:
			err = s.comment()
		case html.DoctypeToken:
			s.evidence.markup = true
		}
		if err != nil {
			return err
		}
	}
}

// end judges how the page stopped.
func (s *htmlScan) end() error {
	err := s.z.Err()
	switch {
	case errors.Is(err, html.ErrBufferExceeded):
		return fmt.Errorf("read HTML: a tag or text is too long: %w", ErrNotIndex)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read HTML: %w", err)
	case len(s.z.Raw()) > 0:
		return fmt.Errorf("read HTML: it stops inside a tag: %w", ErrTruncated)
	case s.open:
		return fmt.Errorf("read HTML: it stops inside a link: %w", ErrTruncated)
	}
	return nil
}

func (s *htmlScan) start() error {
	s.evidence.markup = true
	name, more := s.z.TagName()
	switch string(name) {
	case "a":
		return s.startAnchor(more)
	case "base":
		s.startBase(more)
	case "meta":
		s.startMeta(more)
	case "title", "h1":
		s.heading = true
		s.evidence.addHeading([]byte("\n"))
	case "style":
		s.hidden = true
	case "html":
		s.evidence.opened = true
	case "form", "input", "button", "select", "textarea", "script", "noscript",
		"iframe", "frame", "frameset", "object", "embed", "video", "plaintext":
		s.evidence.addForeign(string(name))
	}
	return nil
}

func (s *htmlScan) startAnchor(more bool) error {
	if err := s.finishAnchor(); err != nil {
		return err
	}
	s.current.reset()
	s.open = true
	for more {
		var key, val []byte
		key, val, more = s.z.TagAttr()
		if attr := s.current.slot(key); attr != nil && !attr.set {
			attr.set, attr.val = true, append(attr.val, val...)
		}
	}
	return nil
}

func (s *htmlScan) startBase(more bool) {
	for more {
		var key, val []byte
		key, val, more = s.z.TagAttr()
		if string(key) == "href" && s.base != nil && !s.baseSeen {
			s.baseSeen = true
			s.base(string(trimHTMLSpace(val)))
		}
	}
}

func (s *htmlScan) startMeta(more bool) {
	var name, content string
	for more {
		var key, val []byte
		key, val, more = s.z.TagAttr()
		switch string(key) {
		case "name":
			name = string(val)
		case "content":
			content = string(val)
		case "http-equiv":
			if bytes.EqualFold(val, []byte("refresh")) {
				s.evidence.addForeign("meta refresh")
			}
		}
	}
	if name == "pypi:repository-version" && !s.evidence.version {
		s.evidence.version, s.version = true, content
	}
	if name != "" && s.meta != nil {
		s.meta(name, content)
	}
}

func (s *htmlScan) close(name string) error {
	switch name {
	case "a":
		return s.finishAnchor()
	case "title", "h1":
		s.heading = false
	case "style":
		s.hidden = false
	case "body":
		return s.finishAnchor()
	case "html":
		s.evidence.closed = true
		return s.finishAnchor()
	}
	return nil
}

func (s *htmlScan) finishAnchor() error {
	if !s.open {
		return nil
	}
	s.open = false
	s.current.text = trimHTMLSpace(s.current.text)
	return s.anchor(&s.current)
}

func (s *htmlScan) text(text []byte) {
	switch {
	case s.open:
		room := max(0, maxAnchorText-len(s.current.text))
		s.current.text = append(s.current.text, text[:min(room, len(text))]...)
	case s.heading:
		s.evidence.addHeading(text)
	case !s.hidden && len(trimHTMLSpace(text)) > 0:
		s.evidence.text = true
	}
}

// comment looks for the serial that PyPI prints after the page.
func (s *htmlScan) comment() error {
	raw := s.z.Raw()
	if !bytes.HasPrefix(raw, []byte("<!--")) {
		return nil
	}
	// A cut in the middle of the number would make another serial of it.
	if !bytes.HasSuffix(raw, []byte("-->")) && !bytes.HasSuffix(raw, []byte("--!>")) {
		return fmt.Errorf("read HTML: it stops inside a comment: %w", ErrTruncated)
	}
	if digits, ok := bytes.CutPrefix(trimHTMLSpace(s.z.Text()), []byte("SERIAL ")); ok {
		if n, err := strconv.ParseInt(string(trimHTMLSpace(digits)), 10, 64); err == nil && n > 0 {
			s.serial = n
		}
	}
	return nil
}

func trimHTMLSpace(b []byte) []byte { return bytes.Trim(b, " \t\n\r\f") }
