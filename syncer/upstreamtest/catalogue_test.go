package upstreamtest

import (
	"strings"
	"testing"
)

// TestCatalogueReadsItself parses an example of every form. The name of the lie
// must be the text that it came from, since people copy it from a record.
func TestCatalogueReadsItself(t *testing.T) {
	examples := map[string]string{
		"status": "503,3", "redirect": "http://127.0.0.1:9/x:y", "content-range": "3,-1", "change-etag": "false",
		"type": "text/html", "api-version": "2.0", "files-on": "javascript:alert(1)//", "resize": "+7", "wrong-sizes": "-7",
		"refuse-ranges": "403", "refuse-beyond": "5,403", "limit-answer": "100,413",
	}
	for _, known := range Catalogue() {
		name, _, wants := strings.Cut(known.Form, ":")
		text := name
		if wants {
			argument, ok := examples[name]
			if !ok {
				argument = "100"
			}
			text += ":" + argument
		}
		lie, err := ParseLie(text)
		if err != nil || lie.Name != text {
			t.Errorf("ParseLie(%q) = %q, %v", text, lie.Name, err)
		}
		if lie.page == nil && lie.feed == nil && lie.content == nil && lie.reply == nil {
			t.Errorf("%s bends nothing", text)
		}
		wrong := name
		if !wants {
			wrong = name + ":x"
		}
		if _, err := ParseLie(wrong); err == nil {
			t.Errorf("ParseLie(%q) was accepted", wrong)
		}
	}
	for _, wrong := range []string{"", "nothing", "status:99", "status:x", "cut:x", "content-range:1", "content-range:x,1", "change-etag:maybe", "refuse-ranges:200", "limit-answer:5"} {
		if _, err := ParseLie(wrong); err == nil {
			t.Errorf("ParseLie(%q) was accepted", wrong)
		}
	}
}

func TestTargets(t *testing.T) {
	const wheel = "/packages/ab/cd/ef/Whey.Tools-0.1-py3-none-any.whl"
	for _, c := range []struct {
		target, path string
		want         bool
	}{
		{"all", "/x", true}, {"all", wheel, true},
		{"root", "/simple/", true}, {"root", "/simple/a/", false}, {"root", "/simple", false},
		{"page:cheddar", "/simple/cheddar/", true}, {"page:ched*", "/simple/cheddar/", true},
		{"page", "/simple/cheddar/", true}, {"page:cheddar", "/simple/feta/", false}, {"page:*", "/simple/", false},
		{"file:Whey.Tools-0.1-py3-none-any.whl", wheel, true}, {"file:whey-tools", wheel, true},
		{"file:whey-tools", wheel + ".metadata", false}, {"metadata:whey-tools", wheel + ".metadata", true},
		{"metadata:Whey.Tools-*.whl", wheel + ".metadata", true}, {"metadata", wheel, false},
		{"file:big-cheese", "/packages/a/b/c/big-cheese-1.0.tar.gz", true},
		{"feed", "/pypi", true}, {"feed:*", "/pypi/", true}, {"feed", "/pypi/x", false}, {"feed:list_*", "/pypi", false},
		{"path:/simple/*/", "/simple/feta/", true}, {"path:/simple/*", "/simple/a/b", false},
	} {
		target, err := ParseTarget(c.target)
		must(t, err)
		if got := target.matches(subjectOf(c.path)); got != c.want {
			t.Errorf("%s on %s: %t", c.target, c.path, got)
		}
		if again, err := ParseTarget(target.String()); err != nil || again != target {
			t.Errorf("%s is written as %s, %v", c.target, target, err)
		}
	}
	for _, wrong := range []string{"", "pages", "file:[", "nothing:x"} {
		if _, err := ParseTarget(wrong); err == nil {
			t.Errorf("ParseTarget(%q) was accepted", wrong)
		}
	}
	if glob("[", "[") {
		t.Error("a broken pattern matches")
	}
}
