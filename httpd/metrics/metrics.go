// Package metrics serves numbers about the box in Prometheus' text format, version
// 0.0.4, which everything that collects metrics reads. Units are base units, as its
// guidelines ask for: bytes and seconds; what only grows ends in _total.
package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"cheeseboard/httpd/reply"
)

// Path is where the handler has to stand.
const Path = "/metrics"

// ContentType is that of the text format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Kind is the type of a family.
type Kind string

// The kinds.
const (
	Counter Kind = "counter" // only grows, until the program ends
	Gauge   Kind = "gauge"
)

// Family is a metric with all its samples.
type Family struct {
	Name    string // letters, digits, underscores
	Help    string // one sentence
	Kind    Kind
	Samples []Sample // none: the family is left out
}

// Sample is one number. Labels are pairs of a name and a value; no two samples of a
// family have the same.
type Sample struct {
	Labels []string
	Value  float64
}

// One makes a family of one sample without labels.
func One(name, help string, kind Kind, value float64) Family {
	return Family{name, help, kind, []Sample{{Value: value}}}
}

var (
	nameForm  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`) })
	labelForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`) })
)

// Append writes families in their order. An error means that one of them is not well
// formed: a bug.
func Append(dst []byte, families []Family) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	for _, f := range families {
		if !nameForm().MatchString(f.Name) {
			return nil, fmt.Errorf("write metric %q: that is no name of one", f.Name)
		}
		if len(f.Samples) == 0 {
			continue
		}
		fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", f.Name, strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(f.Help), f.Name, f.Kind)
		for _, s := range f.Samples {
			b.WriteString(f.Name)
			if err := writeLabels(b, s.Labels); err != nil {
				return nil, fmt.Errorf("write metric %s: %w", f.Name, err)
			}
			b.WriteByte(' ')
			b.WriteString(number(s.Value))
			b.WriteByte('\n')
		}
	}
	return b.Bytes(), nil
}

func writeLabels(b *bytes.Buffer, labels []string) error {
	if len(labels)%2 != 0 {
		return fmt.Errorf("label %q has no value", labels[len(labels)-1])
	}
	for i := 0; i < len(labels); i += 2 {
		if !labelForm().MatchString(labels[i]) {
			return fmt.Errorf("%q is no name of a label", labels[i])
		}
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(labels[i])
		b.WriteString(`="`)
		b.WriteString(strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")))
		b.WriteByte('"')
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
	return nil
}

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Responses counts answers. It is safe for concurrent use; the zero value has counted
// none.
type Responses struct {
	classes [6]atomic.Int64 // by the first digit of the status; 0: none was sent
	bytes   atomic.Int64
}

// Count counts an answer by its status and the bytes of its body.
func (r *Responses) Count(status int, sent int64) {
	class := status / 100
	if class < 0 || class >= len(r.classes) {
		class = 0
	}
	r.classes[class].Add(1)
	r.bytes.Add(sent)
}

// Families gives what was counted.
func (r *Responses) Families() []Family {
	f := Family{Name: "cheeseboard_http_responses_total", Help: "Answers to clients, by the class of their status.", Kind: Counter}
	for class := 1; class < len(r.classes); class++ {
		f.Samples = append(f.Samples, Sample{[]string{"code", strconv.Itoa(class) + "xx"}, float64(r.classes[class].Load())})
	}
	return []Family{
		f,
		One("cheeseboard_http_responses_none_total", "Requests whose connection was closed without an answer.", Counter, float64(r.classes[0].Load())),
		One("cheeseboard_http_response_bytes_total", "Bytes of bodies that were sent to clients.", Counter, float64(r.bytes.Load())),
	}
}

// Handler serves metrics.
type Handler struct {
	collect func() ([]Family, error)
	log     *slog.Logger
}

// New makes a handler. collect is called for each request, and must be safe for
// concurrent use; what it gives along with an error is not sent.
func New(collect func() ([]Family, error), log *slog.Logger) *Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{collect, log}
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !reply.ReadOnly(w, r) {
		return
	}
	families, err := h.collect()
	var body []byte
	if err == nil {
		body, err = Append(nil, families)
	}
	if err != nil {
		h.log.Error("collect metrics", "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The metrics could not be collected. The log of the box says why.")
		return
	}
	header := w.Header()
	header.Set("Content-Type", ContentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}
