package pypi

import "testing"

func TestNegotiate(t *testing.T) {
	const (
		j, h, l = FormJSON, FormHTML, FormLegacyHTML
		json    = ContentTypeJSON
		v1html  = ContentTypeHTML
	)
	tests := []struct {
		name, accept, format string
		want                 Form
		ok                   bool
	}{
		{"nothing", "", "", l, true},
		{"anything", "*/*", "", l, true},
		{"pip", json + ", " + v1html + "; q=0.1, text/html; q=0.01", "", j, true},
		{"uv", json + ", " + v1html + ";q=0.2, text/html;q=0.01", "", j, true},
		{"old pip", "text/html", "", l, true},
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", l, true},
		{"order does not count", "text/html;q=0.01," + v1html + ";q=0.1," + json, "", j, true},
		{"quality counts", json + ";q=0.3," + v1html + ";q=0.9,text/html;q=0.5", "", h, true},
		{"equal: JSON", "text/html," + v1html + "," + json, "", j, true},
		{"equal: v1+html", "text/html," + v1html, "", h, true},
		{"three decimals", json + ";q=0.998,text/html;q=0.999", "", l, true},
		{"latest JSON", "application/vnd.pypi.simple.latest+json", "", j, true},
		{"latest HTML", "application/vnd.pypi.simple.latest+html", "", h, true},
		{"case", "Application/VND.PyPI.Simple.V1+JSON", "", j, true},
		{"named beats wildcard", "*/*," + json, "", j, true},
		{"wildcard of higher quality", "*/*," + json + ";q=0.5", "", l, true},
		{"all of application", "application/*", "", j, true},
		{"all of text", "text/*", "", l, true},
		{"all but text", "text/html;q=0, */*", "", j, true},
		{"all but text and JSON", "text/*;q=0," + json + ";q=0.000, */*;q=0.1", "", h, true},
		{"excluded", json + ";q=0", "", 0, false},
		{"v1 excluded, latest not", json + ";q=0,application/vnd.pypi.simple.latest+json", "", 0, false},
		{"everything excluded", "*/*;q=0", "", 0, false},
		{"plain JSON", "application/json", "", 0, false},
		{"version 2", "application/vnd.pypi.simple.v2+json", "", 0, false},
		{"image", "image/png", "", 0, false},
		{"other parameters", json + `;charset="a,b;q=0";q=0.5,text/html;q=0.4`, "", j, true},
		{"twice", json + ";q=0.1," + json + ";q=0.9,text/html;q=0.5", "", j, true},
		{"blanks", " \t" + json + " ; Q = 0.5 , text/html ;q=0.4", "", j, true},
		{"bad quality is no range", json + ";q=2,text/html;q=0.1", "", l, true},
		{"bad quality of many kinds", json + ";q=," + json + ";q=1.001," + json + ";q=0.1234," + json + ";q=-1,image/png", "", 0, false},
		{"rubbish counts as nothing", "json, */html, /, ;q=1,, \"", "", l, true},
		{"format", "text/html", json, j, true},
		{"format with a blank", "text/html", "application/vnd.pypi.simple.v1 json", j, true},
		{"format latest", "", "application/vnd.pypi.simple.latest+html", h, true},
		{"format text", json, "text/html", l, true},
		{"format unknown", json, "application/vnd.pypi.simple.v9+json", 0, false},
	}
	for _, tc := range tests {
		got, ok := Negotiate(tc.accept, tc.format)
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %v, %v, want %v, %v", tc.name, got, ok, tc.want, tc.ok)
		}
	}
}

func TestForms(t *testing.T) {
	for _, f := range []Form{FormJSON, FormHTML, FormLegacyHTML} {
		if got, ok := FormOf(f.ContentType() + "; charset=UTF-8"); !ok || got != f {
			t.Errorf("%v is read as %v, %v", f, got, ok)
		}
		if f.IsJSON() != (f == FormJSON) {
			t.Errorf("%v: IsJSON %v", f, f.IsJSON())
		}
	}
	if f, ok := FormOf("application/json"); !ok || f != FormJSON {
		t.Error("application/json is not read as JSON")
	}
	for _, s := range []string{"", "application/octet-stream", "application/vnd.pypi.simple.v2+json"} {
		if _, ok := FormOf(s); ok {
			t.Errorf("%q has a form", s)
		}
	}
}

func TestNegotiateDoesNotAllocate(t *testing.T) {
	const pip = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
	if n := testing.AllocsPerRun(100, func() { Negotiate(pip, "") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
