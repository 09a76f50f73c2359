package httpd_test

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cheeseboard/storage/pypi"

	"github.com/google/go-cmp/cmp"
)

func resolve(t *testing.T, page, ref string) string {
	t.Helper()
	base, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	u, err := base.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	return u.RequestURI()
}

func list(t *testing.T, doc map[string]any, key string) []any {
	t.Helper()
	out, ok := doc[key].([]any)
	if !ok {
		t.Fatalf("%s is %v, want an array", key, doc[key])
	}
	return out
}

func TestConformanceJSONList(t *testing.T) {
	doc := newShop(t).document("/simple/")
	want := map[string]any{
		"meta": map[string]any{"api-version": "1.4", "_last-serial": 43.},
		"projects": []any{
			map[string]any{"name": "bad", "_last-serial": 43.},
			map[string]any{"name": "holy-grail", "_last-serial": 42.},
			map[string]any{"name": "quiet", "_last-serial": 7.},
		},
	}
	if d := cmp.Diff(want, doc); d != "" {
		t.Errorf("meta states the version and the highest serial, each project its name and serial: %s", d)
	}
}

func TestConformanceJSONPage(t *testing.T) {
	doc := newShop(t).document("/simple/holy-grail/")
	fileNo := func(i int) map[string]any { return list(t, doc, "files")[i].(map[string]any) }
	get := func(path ...any) any {
		v := any(doc)
		for _, p := range path {
			switch p := p.(type) {
			case string:
				m, _ := v.(map[string]any)
				inner, ok := m[p]
				if !ok {
					return "absent"
				}
				v = inner
			case int:
				v = v.([]any)[p]
			}
		}
		return v
	}
	digest := func(name string) map[string]any { return map[string]any{"sha256": digestOf(name)} }
	for _, c := range []struct {
		sentence string
		got      any
		want     any
	}{
		{"meta.api-version is MAJOR.MINOR as a string", get("meta", "api-version"), "1.4"},
		{"meta._last-serial is the project's", get("meta", "_last-serial"), 42.},
		{"name is in its normal form", get("name"), "holy-grail"},
		{"versions lists all of them, as strings", get("versions"), []any{"1.0", "1.1", "2.0", "3.0"}},
		{"project-status stands at the top level", get("project-status", "status"), "archived"},
		{"its reason beside it", get("project-status", "reason"), `"So long" & <thanks>`},
		{"it does not stand in meta", get("meta", "project-status"), "absent"},
		{"there are all files", len(list(t, doc, "files")), 4},
		{"a file has its name", get("files", 0, "filename"), "holy_grail-1.0.tar.gz"},
		{"hashes map the algorithm to hexadecimal digits", get("files", 0, "hashes"), digest("holy_grail-1.0.tar.gz")},
		{"requires-python as it came, without escapes", get("files", 1, "requires-python"), ">=3.9,<4"},
		{"it is left out where it is not stated", get("files", 0, "requires-python"), "absent"},
		{"core-metadata maps to the digest of the metadata", get("files", 1, "core-metadata"), digest("holy_grail-1.1-py3-none-any.whl.metadata")},
		{"it is left out, or false, where there are none", get("files", 0, "core-metadata"), "absent"},
		// PEP 714 allows the older name in HTML; in JSON pip 22.3 to 23.1 fail on its digests.
		{"the older name stands in HTML only", get("files", 1, "dist-info-metadata"), "absent"},
		{"yanked is the reason", get("files", 2, "yanked"), `It "breaks" <everything> & more`},
		{"yanked without a reason is true", get("files", 3, "yanked"), true},
		{"what is not yanked says so by false, or not at all", get("files", 0, "yanked"), "absent"},
		{"size is an integer", get("files", 0, "size"), float64(len(bytesOf("holy_grail-1.0.tar.gz")))},
		{"upload-time ends in Z", get("files", 0, "upload-time"), "2024-02-29T23:59:58Z"},
		{"upload-time has at most six digits of a fraction", get("files", 1, "upload-time"), "2025-01-02T03:04:05.060000Z"},
		{"upload-time is left out where it is not known", get("files", 3, "upload-time"), "absent"},
		{"provenance is an absolute address over https", get("files", 1, "provenance"), "https://index.example.org/integrity/holy-grail/1.1/holy_grail-1.1-py3-none-any.whl/provenance"},
		{"no provenance is none, or null", get("files", 0, "provenance"), "absent"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if d := cmp.Diff(c.want, c.got); d != "" {
				t.Error(d)
			}
		})
	}
	t.Run("the addresses resolve against the page, and end in the file's name", func(t *testing.T) {
		for i := range list(t, doc, "files") {
			if to := resolve(t, "/simple/holy-grail/", fileNo(i)["url"].(string)); !strings.HasPrefix(to, "/files/") || !strings.HasSuffix(to, "/"+fileNo(i)["filename"].(string)) {
				t.Error(to)
			}
		}
	})
}

// TestConformanceJSONShape holds for all pages what keys there may be and of which type.
func TestConformanceJSONShape(t *testing.T) {
	s := newShop(t)
	when := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$`)
	for name := range newLibrary().projects {
		doc := s.document("/simple/" + string(name) + "/")
		absent(t, string(name), doc)
		for _, v := range list(t, doc, "versions") {
			if _, err := pypi.ParseVersion(v.(string)); err != nil {
				t.Error(err)
			}
		}
		for _, f := range list(t, doc, "files") {
			f := f.(map[string]any)
			for _, key := range []string{"filename", "url", "hashes", "size"} {
				if _, ok := f[key]; !ok {
					t.Errorf("%s: a file has no %s, which is required", name, key)
				}
			}
			if at, ok := f["upload-time"]; ok && !when.MatchString(at.(string)) {
				t.Errorf("%s: upload-time %s", name, at)
			}
			for key := range f {
				if !slices.Contains([]string{"filename", "url", "hashes", "requires-python", "core-metadata", "gpg-sig", "yanked", "size", "upload-time", "provenance"}, key) && key[0] != '_' {
					t.Errorf("%s: the key %s is no key of this version, and keys of our own begin with _", name, key)
				}
			}
		}
	}
	bad := s.document("/simple/bad/")
	if len(list(t, bad, "files")) != 0 || cmp.Diff(bad["project-status"], any(map[string]any{"status": "quarantined", "reason": "malware"})) != "" {
		t.Errorf("a project in quarantine offers files, or does not say why: %v", bad)
	}
	quiet := s.document("/simple/quiet/")
	if _, ok := quiet["project-status"]; ok {
		t.Error("a status that nobody stated is stated")
	}
}

// absent holds that what is not known is left out: uv fails on null.
func absent(t *testing.T, where string, v any) {
	t.Helper()
	switch v := v.(type) {
	case nil:
		t.Errorf("%s is null", where)
	case map[string]any:
		for key, inner := range v {
			absent(t, where+"."+key, inner)
		}
	case []any:
		for _, inner := range v {
			absent(t, where+"[]", inner)
		}
	}
}

// TestConformanceReader holds what a client must do with versions, for the client that
// this box is itself.
func TestConformanceReader(t *testing.T) {
	page := func(version string) []byte {
		return []byte(`{"meta":{"api-version":"` + version + `","x-new":{}},"name":"a","versions":[],"files":[],"_ours":1,"new-key":[{}]}`)
	}
	for version, ok := range map[string]bool{"1.0": true, "1.4": true, "1.99": true, "2.0": false, "0.9": false} {
		_, _, err := pypi.DecodeProjectJSON(page(version), "a", nil)
		if (err == nil) != ok {
			t.Errorf("a newer minor is accepted, a newer major refused: %s gives %v", version, err)
		}
	}
}
