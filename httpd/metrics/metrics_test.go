package metrics_test

import (
	"errors"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"cheeseboard/httpd/metrics"

	"github.com/prometheus/common/expfmt"
)

// TestFormat holds that Prometheus' own parser reads what is written.
func TestFormat(t *testing.T) {
	families := []metrics.Family{
		metrics.One("cheeseboard_files", "Files \\ here,\nand there.", metrics.Gauge, 3),
		{Name: "cheeseboard_line_up", Help: "x", Kind: metrics.Gauge, Samples: []metrics.Sample{
			{[]string{"index", "", "why", "a \"b\" \\ c\nd\xff é"}, 1}, {[]string{"index", "corp"}, 0.25},
		}},
		{Name: "cheeseboard_none", Help: "left out", Kind: metrics.Gauge},
		metrics.One("cheeseboard_bytes_total", "x", metrics.Counter, 9007199254740991),
		metrics.One("cheeseboard_large", "x", metrics.Gauge, 1e300),
		metrics.One("cheeseboard_odd", "x", metrics.Gauge, math.Inf(-1)),
		metrics.One("cheeseboard_nan", "x", metrics.Gauge, math.NaN()),
	}
	text, err := metrics.Append(nil, families)
	if err != nil {
		t.Fatal(err)
	}
	var parser expfmt.TextParser
	read, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(read) != 6 {
		t.Errorf("%d families are read: %s", len(read), text)
	}
	if f := read["cheeseboard_files"]; f.GetHelp() != "Files \\ here,\nand there." || f.Metric[0].GetGauge().GetValue() != 3 {
		t.Errorf("%v", f)
	}
	if f := read["cheeseboard_line_up"]; len(f.Metric) != 2 || f.Metric[0].Label[1].GetValue() != "a \"b\" \\ c\nd\uFFFD é" || f.Metric[1].GetGauge().GetValue() != 0.25 {
		t.Errorf("%v", f)
	}
	if f := read["cheeseboard_bytes_total"]; f.Metric[0].GetCounter().GetValue() != 9007199254740991 {
		t.Errorf("%v", f)
	}
	if f := read["cheeseboard_odd"]; !math.IsInf(f.Metric[0].GetGauge().GetValue(), -1) {
		t.Errorf("%v", f)
	}
	if f := read["cheeseboard_nan"]; !math.IsNaN(f.Metric[0].GetGauge().GetValue()) {
		t.Errorf("%v", f)
	}
	for _, bad := range []metrics.Family{
		metrics.One("with space", "", metrics.Gauge, 1), metrics.One("", "", metrics.Gauge, 1),
		{Name: "a", Samples: []metrics.Sample{{Labels: []string{"alone"}}}}, {Name: "a", Samples: []metrics.Sample{{Labels: []string{"1", "x"}}}},
	} {
		if out, err := metrics.Append(nil, []metrics.Family{bad}); err == nil {
			t.Errorf("%+v is written: %s", bad, out)
		}
	}
}

func TestResponses(t *testing.T) {
	var r metrics.Responses
	for _, status := range []int{200, 206, 304, 404, 503, 0, 999, -1} {
		r.Count(status, 10)
	}
	text, err := metrics.Append(nil, r.Families())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{code="1xx"} 0`, `{code="2xx"} 2`, `{code="3xx"} 1`, `{code="4xx"} 1`, `{code="5xx"} 1`, "none_total 3", "bytes_total 80"} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

func TestHandler(t *testing.T) {
	h := metrics.New(func() ([]metrics.Family, error) {
		return []metrics.Family{metrics.One("a", "b", metrics.Gauge, 1)}, nil
	}, nil)
	get, head, post := httptest.NewRecorder(), httptest.NewRecorder(), httptest.NewRecorder()
	h.ServeHTTP(get, httptest.NewRequest("GET", metrics.Path, nil))
	h.ServeHTTP(head, httptest.NewRequest("HEAD", metrics.Path, nil))
	h.ServeHTTP(post, httptest.NewRequest("POST", metrics.Path, nil))
	if get.Code != 200 || get.Body.String() != "# HELP a b\n# TYPE a gauge\na 1\n" || get.Header().Get("Content-Type") != metrics.ContentType {
		t.Errorf("GET: %d %v %s", get.Code, get.Header(), get.Body)
	}
	if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != "30" || post.Code != 405 {
		t.Errorf("HEAD: %d %v, POST: %d", head.Code, head.Header(), post.Code)
	}
	broken := metrics.New(func() ([]metrics.Family, error) { return nil, errors.New("secret") }, nil)
	w := httptest.NewRecorder()
	broken.ServeHTTP(w, httptest.NewRequest("GET", metrics.Path, nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("what cannot be collected: %d %s", w.Code, w.Body)
	}
}
