package webui

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"sync"
	"time"

	"cheeseboard/httpd/reply"
)

//go:embed style.css
var style string

// policy allows the one style sheet that stands in the page, by its digest, and forms
// to this box. Nothing else is loaded or run.
func policy() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

// frame is what all pages have in common.
const frame = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>{{style}}</style>
</head>
<body>
{{template "content" .}}</body>
</html>
`

// parse makes a page of a text, when it is first sent.
func parse(content string) func() *template.Template {
	return sync.OnceValue(func() *template.Template {
		t := template.New("frame").Funcs(template.FuncMap{
			"style": func() template.CSS { return template.CSS(style) }, // it is ours
			"bytes": bytesText, "count": countText, "day": dayText,
		})
		return template.Must(template.Must(t.Parse(frame)).New("content").Parse(content))
	})
}

// send answers with a page. Every value in it is escaped for where it stands.
func send(w http.ResponseWriter, r *http.Request, status int, page func() *template.Template, data any) {
	var body bytes.Buffer
	if err := page().ExecuteTemplate(&body, "frame", data); err != nil {
		reply.Text(w, r, http.StatusInternalServerError, "The page could not be made.")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy())
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // a client that has gone needs no answer
	}
}

// named is what the box is called where it has no name.
func named(name string) string {
	if name == "" {
		return "cheeseboard"
	}
	return name
}

func bytesText(n int64) string {
	const unit = 1000
	switch {
	case n < 0:
		return "of unknown size"
	case n < unit:
		return countText(int(n), "byte", "bytes")
	}
	v, units := float64(n)/unit, "kMGTPE"
	for v >= 999.5 && len(units) > 1 {
		v /= unit
		units = units[1:]
	}
	precision := 0
	if v < 9.95 {
		precision = 1
	}
	return fmt.Sprintf("%.*f %cB", precision, v, units[0])
}

func countText(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func dayText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}
