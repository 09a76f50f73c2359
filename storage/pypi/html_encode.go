package pypi

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendProjectHTML appends the project's page in its HTML form (PEP 503 with
// 592, 629, 658, 714, 740 and 792, API 1.4) and returns the extended slice.
//
// The form has no place for versions, sizes, upload times, and more than one
// digest of a file or of its metadata: SHA-256 is chosen where it is known. Both
// names of the metadata attribute are written, for old installers. A quarantined
// project is written without files.
func AppendProjectHTML(dst []byte, p *Project, link Link) []byte {
	return projectHTML(dst, p, FilesOf(p), link, nil)
}

func projectHTML(dst []byte, p *Project, files Files, link Link, out *pieces) []byte {
	dst = appendHTMLHead(dst)
	if p.Status.State != "" {
		dst = appendHTMLMeta(dst, "pypi:project-status", p.Status.State)
		if p.Status.Reason != "" {
			dst = appendHTMLMeta(dst, "pypi:project-status-reason", p.Status.Reason)
		}
	}
	for _, u := range p.Tracks {
		dst = appendHTMLMeta(dst, "pypi:tracks", u)
	}
	for _, u := range p.Alternates {
		dst = appendHTMLMeta(dst, "pypi:alternate-locations", u)
	}
	dst = append(dst, "    <title>Links for "...)
	dst = appendHTMLText(dst, string(p.Name))
	dst = append(dst, "</title>\n  </head>\n  <body>\n    <h1>Links for "...)
	dst = appendHTMLText(dst, string(p.Name))
	dst = append(dst, "</h1>\n"...)
	for _, note := range p.Notes {
		dst = appendHTMLText(append(dst, "    <p>"...), note) // PEP 503: anything may stand beside the links
		dst = append(dst, "</p>\n"...)
	}
	for f, err := range offered(p, files) {
		if err != nil {
			out.fail(err)
			break
		}
		dst = out.take(appendHTMLFile(dst, f, link))
	}
	return appendHTMLTail(dst, p.LastSerial)
}

// appendHTMLHead begins a page. The version stands in every page (PEP 629).
func appendHTMLHead(dst []byte) []byte {
	dst = append(dst, "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <meta charset=\"utf-8\">\n"...)
	return appendHTMLMeta(dst, "pypi:repository-version", APIVersion)
}

// appendHTMLTail ends a page; the serial stands where PyPI's mirrors look for it.
func appendHTMLTail(dst []byte, serial int64) []byte {
	dst = append(dst, "  </body>\n</html>\n"...)
	if serial > 0 {
		dst = strconv.AppendInt(append(dst, "<!--SERIAL "...), serial, 10)
		dst = append(dst, "-->\n"...)
	}
	return dst
}

func appendHTMLMeta(dst []byte, name, content string) []byte {
	dst = append(dst, `    <meta name="`...)
	dst = append(dst, name...)
	dst = appendHTMLText(append(dst, `" content="`...), content)
	return append(dst, "\">\n"...)
}

func appendHTMLFile(dst []byte, f *File, link Link) []byte {
	dst = appendHTMLText(append(dst, `    <a href="`...), link.url(f))
	if h := linkHash(f.Hashes); h != nil {
		dst = appendHTMLHash(append(dst, '#'), h)
	}
	dst = append(dst, '"')
	if f.RequiresPython != "" {
		dst = appendHTMLAttr(dst, ` data-requires-python="`, f.RequiresPython)
	}
	if f.Yanked.Is {
		dst = appendHTMLAttr(dst, ` data-yanked="`, f.Yanked.Reason)
	}
	if f.CoreMetadata.Available {
		h := linkHash(f.CoreMetadata.Hashes)
		if h == nil && len(f.CoreMetadata.Hashes) > 0 {
			h = &f.CoreMetadata.Hashes[0] // nothing else can be meant here
		}
		dst = append(appendMetadataValue(append(dst, ` data-core-metadata="`...), h), '"')
		dst = append(appendMetadataValue(append(dst, ` data-dist-info-metadata="`...), h), '"')
	}
	switch f.GPGSig {
	case Yes:
		dst = append(dst, ` data-gpg-sig="true"`...)
	case No:
		dst = append(dst, ` data-gpg-sig="false"`...)
	case Unstated:
	}
	if f.Provenance != "" {
		dst = appendHTMLAttr(dst, ` data-provenance="`, f.Provenance)
	}
	dst = appendHTMLText(append(dst, '>'), f.Filename)
	return append(dst, "</a><br>\n"...)
}

func appendHTMLAttr(dst []byte, open, value string) []byte {
	return append(appendHTMLText(append(dst, open...), value), '"')
}

func appendMetadataValue(dst []byte, h *Hash) []byte {
	if h == nil {
		return append(dst, "true"...)
	}
	return appendHTMLHash(dst, h)
}

func appendHTMLHash(dst []byte, h *Hash) []byte {
	dst = append(append(dst, h.Algorithm...), '=')
	return append(dst, h.Hex...)
}

// linkHash chooses the one digest that a link can carry: SHA-256, or else the
// longest of those that every Python knows, in the order of trust. nil if there
// is none.
func linkHash(hashes Hashes) *Hash {
	var best *Hash
	rank := len(linkAlgorithms)
	for i := range hashes {
		for r, name := range linkAlgorithms[:rank] {
			if hashes[i].Algorithm == name {
				best, rank = &hashes[i], r
				break
			}
		}
	}
	return best
}

// linkAlgorithms are the digests that a fragment may carry (those that Python's
// hashlib always has), the best one first.
var linkAlgorithms = [...]string{
	"sha256", "sha512", "sha384", "sha3_512", "sha3_384", "sha3_256",
	"blake2b", "blake2s", "sha224", "sha3_224", "sha1", "md5",
}

// isLinkAlgorithm reports whether a key in a fragment names a digest.
func isLinkAlgorithm(name string) bool {
	for _, known := range linkAlgorithms {
		if strings.EqualFold(name, known) {
			return true
		}
	}
	return false
}

// appendHTMLText appends s as it may stand in text and in a quoted attribute.
// A carriage return is written as a reference, for readers turn it into a line
// feed otherwise. NUL and bytes that are not UTF-8 become U+FFFD.
func appendHTMLText(dst []byte, s string) []byte {
	done := 0
	for i := 0; i < len(s); {
		n, escape := 1, ""
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			var r rune
			if r, n = utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && n == 1 {
				escape = "\uFFFD"
			}
		case c > '>':
		case c == '&':
			escape = "&amp;"
		case c == '<':
			escape = "&lt;"
		case c == '>':
			escape = "&gt;"
		case c == '"':
			escape = "&#34;"
		case c == '\'':
			escape = "&#39;"
		case c == '\r':
			escape = "&#13;"
		case c == 0:
			escape = "\uFFFD"
		}
		if escape != "" {
			dst = append(append(dst, s[done:i]...), escape...)
			done = i + n
		}
		i += n
	}
	return append(dst, s[done:]...)
}
