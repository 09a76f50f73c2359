package pypi

import "strings"

// The content types of the simple repository API (PEP 691).
const (
	ContentTypeJSON       = "application/vnd.pypi.simple.v1+json"
	ContentTypeHTML       = "application/vnd.pypi.simple.v1+html"
	ContentTypeLegacyHTML = "text/html" // the same bytes as ContentTypeHTML
)

// Form is one of the forms in which a page can be had.
type Form uint8

// The forms, in the order of preference among those that a client names with
// the same quality.
const (
	FormJSON Form = iota
	FormHTML
	FormLegacyHTML
)

// formCount is the number of forms.
const formCount = 3

// ContentType is the media type to answer with: always the true v1 type, also
// where `latest` was asked for.
func (f Form) ContentType() string {
	switch f {
	case FormJSON:
		return ContentTypeJSON
	case FormHTML:
		return ContentTypeHTML
	default:
		return ContentTypeLegacyHTML
	}
}

// IsJSON reports whether the page's bytes are JSON; they are HTML otherwise.
func (f Form) IsJSON() bool { return f == FormJSON }

// String is the form's content type.
func (f Form) String() string { return f.ContentType() }

// FormOf tells the form of an answer from its Content-Type header, whose
// parameters are ignored. application/json is taken for the JSON form, since
// static trees are served with it.
func FormOf(contentType string) (Form, bool) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.TrimSpace(mediaType)
	if strings.EqualFold(mediaType, "application/json") {
		return FormJSON, true
	}
	form, _, ok := namedForm(mediaType)
	return form, ok
}

// namedForm finds the form that a media type names, and whether by `latest`.
func namedForm(mediaType string) (form Form, latest, ok bool) {
	switch {
	case strings.EqualFold(mediaType, ContentTypeJSON):
		return FormJSON, false, true
	case strings.EqualFold(mediaType, ContentTypeHTML):
		return FormHTML, false, true
	case strings.EqualFold(mediaType, ContentTypeLegacyHTML):
		return FormLegacyHTML, false, true
	case strings.EqualFold(mediaType, "application/vnd.pypi.simple.latest+json"):
		return FormJSON, true, true
	case strings.EqualFold(mediaType, "application/vnd.pypi.simple.latest+html"):
		return FormHTML, true, true
	}
	return 0, false, false
}

// Negotiate chooses the form of a page from the Accept header (several joined
// by commas) and the value of ?format=, which overrides the header unless it is
// empty. Not ok means that nothing fits: 406 is the answer then.
//
// The highest quality wins; the order in the header does not count. Among equal
// ones a form that is named beats one that a wildcard covers; among named ones
// JSON comes first, then v1+html, then text/html; where only wildcards speak,
// text/html comes first, as on PyPI. The most specific range decides on a form,
// so q=0 on a name excludes it whatever the wildcards say. A header without any
// well-formed range counts as missing, which means text/html.
func Negotiate(accept, format string) (Form, bool) {
	if format != "" {
		// A plus in a query means a blank, and most people write it there.
		form, _, ok := namedForm(strings.ReplaceAll(strings.TrimSpace(format), " ", "+"))
		return form, ok
	}
	offers, ranges := readAccept(accept)
	if ranges == 0 {
		return FormLegacyHTML, true
	}
	best, found := Form(0), false
	for f := range Form(formCount) {
		o := &offers[f]
		if o.quality == 0 {
			continue // also where no range matched
		}
		if !found || o.beats(&offers[best], f) {
			best, found = f, true
		}
	}
	return best, found
}

// How specific a media range is.
const (
	byNothing = iota
	byAnything
	byType
	byLatest
	byName
)

// offer is what the header says of one form.
type offer struct {
	specific int // how the range that decides matched
	quality  int // thousandths
}

// beats reports whether o, of form f, is to be preferred to the best form so
// far, which stands before f in the order of named forms.
func (o *offer) beats(best *offer, f Form) bool {
	if o.quality != best.quality {
		return o.quality > best.quality
	}
	named, bestNamed := o.specific >= byLatest, best.specific >= byLatest
	if named || bestNamed {
		return named && !bestNamed
	}
	return f == FormLegacyHTML
}

// readAccept notes for each form what the most specific range says of it, and
// counts the ranges that are well formed.
func readAccept(accept string) (offers [formCount]offer, ranges int) {
	for accept != "" {
		var element string
		element, accept = cutElement(accept, ',')
		mediaRange, params := cutElement(element, ';')
		mediaRange = strings.TrimSpace(mediaRange)
		quality, ok := readQuality(params)
		if !ok || !isMediaRange(mediaRange) {
			continue
		}
		ranges++
		for f := range Form(formCount) {
			o := &offers[f]
			switch specific := match(mediaRange, f); {
			case specific == byNothing || specific < o.specific:
			case specific > o.specific:
				*o = offer{specific, quality}
			default:
				o.quality = max(o.quality, quality)
			}
		}
	}
	return offers, ranges
}

// match tells how a media range covers a form.
func match(mediaRange string, f Form) int {
	if mediaRange == "*/*" {
		return byAnything
	}
	if kind, ok := strings.CutSuffix(mediaRange, "/*"); ok {
		if own, _, _ := strings.Cut(f.ContentType(), "/"); strings.EqualFold(kind, own) {
			return byType
		}
		return byNothing
	}
	switch form, latest, ok := namedForm(mediaRange); {
	case !ok || form != f:
		return byNothing
	case latest:
		return byLatest
	}
	return byName
}

// cutElement splits at the first separator that is not inside a quoted string.
func cutElement(s string, separator byte) (element, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// readQuality finds q among the parameters, in thousandths; 1000 if it is not
// there. Other parameters say nothing that matters to an index.
func readQuality(params string) (int, bool) {
	for params != "" {
		var param string
		param, params = cutElement(params, ';')
		key, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(key), "q") {
			return parseQuality(strings.TrimSpace(value))
		}
	}
	return 1000, true
}

// parseQuality reads a qvalue (RFC 9110): 0 to 1 with up to three decimals.
func parseQuality(s string) (int, bool) {
	whole, decimals, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 || decimals != "" && !allDigits(decimals) {
		return 0, false
	}
	quality := int(whole[0]-'0') * 1000
	unit := 100
	for _, c := range []byte(decimals) {
		quality += int(c-'0') * unit
		unit /= 10
	}
	return quality, quality <= 1000
}

// isMediaRange checks the form token/token, with * standing for all of a part.
func isMediaRange(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	if !ok || kind == "*" && sub != "*" {
		return false
	}
	return isToken(kind) && isToken(sub)
}

func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
