package simple

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// renderVersion is part of every entity tag. It goes up when the same content is
// rendered to other bytes, so that a client does not keep the old ones.
const renderVersion = "1"

// variant is one representation of a page.
type variant struct {
	form pypi.Form
	gzip bool
}

// negotiate picks the representation. Where none fits it answers 406 and the
// caller has nothing left to do.
func negotiate(w http.ResponseWriter, r *http.Request) (variant, bool) {
	format := ""
	if r.URL.RawQuery != "" {
		format = r.URL.Query().Get("format")
	}
	form, ok := pypi.Negotiate(strings.Join(r.Header.Values("Accept"), ","), format)
	if !ok {
		reply.Text(w, r, http.StatusNotAcceptable, "This page can be had as "+pypi.ContentTypeJSON+", "+pypi.ContentTypeHTML+" or "+pypi.ContentTypeLegacyHTML+".")
		return variant{}, false
	}
	gzip, ok := acceptsGzip(r.Header.Values("Accept-Encoding"))
	if !ok {
		reply.Text(w, r, http.StatusNotAcceptable, "This page can be had as it is (identity) or compressed with gzip.")
		return variant{}, false
	}
	return variant{form: form, gzip: gzip}, true
}

// etag makes the quoted, strong entity tag of a variant. It is "" where the
// content has no tag.
func (v variant) etag(tag string) string {
	if tag == "" {
		return ""
	}
	if !plainTag(tag) {
		sum := sha256.Sum256([]byte(tag))
		tag = hex.EncodeToString(sum[:16])
	}
	kind := "t"
	switch v.form {
	case pypi.FormJSON:
		kind = "j"
	case pypi.FormHTML:
		kind = "h"
	}
	if v.gzip {
		kind += "z"
	}
	return `"` + tag + "." + kind + renderVersion + `"`
}

// plainTag reports whether a tag may stand in a header as it is.
func plainTag(tag string) bool {
	for _, c := range []byte(tag) {
		if c <= ' ' || c == '"' || c == '\\' || c == ',' || c >= 0x7f {
			return false
		}
	}
	return len(tag) <= 128
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3): whether to compress, and
// whether anything that can be sent is acceptable at all. Without the header
// the body goes out as it is. Identity need not be listed to be acceptable; gzip
// wins when it is worth as much.
func acceptsGzip(lines []string) (gzip, ok bool) {
	if len(lines) == 0 {
		return false, true
	}
	const unset = -1
	qGzip, qIdentity, qAny := unset, unset, unset // in thousandths
	for coding := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		coding, params, _ := strings.Cut(coding, ";")
		q := quality(params)
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			qGzip = max(qGzip, q)
		case "identity":
			qIdentity = max(qIdentity, q)
		case "*":
			qAny = max(qAny, q)
		}
	}
	if qGzip == unset {
		qGzip = max(qAny, 0)
	}
	switch {
	case qIdentity == unset && qAny == 0:
		qIdentity = 0
	case qIdentity == unset:
		return qGzip > 0, true
	}
	return qGzip > 0 && qGzip >= qIdentity, qGzip > 0 || qIdentity > 0
}

// quality reads `q=0.5` among parameters, in thousandths. A value that cannot be
// read counts as 0: a client that was misread gets the plain form.
func quality(params string) int {
	for p := range strings.SplitSeq(params, ";") {
		key, value, ok := strings.Cut(p, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), "q") {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return 0
		}
		return int(f*1000 + 0.5)
	}
	return 1000
}
