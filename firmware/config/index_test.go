package config

import (
	"strings"
	"testing"

	"cheeseboard/storage/pypi"

	"github.com/google/go-cmp/cmp"
)

const twoIndexes = `
data = "d"

[[index]]
name = "corp"
url = "https://pkg.example.org/simple/"
projects = ["Corp_*", "secret.sauce"]

[[index]]
name = "wheels"
url = "http://wheels.example.org/simple/"
projects = ["numpy", "corp-wheel"]

[sync]
latest = 2
`

func TestIndexTables(t *testing.T) {
	c, err := Parse("f", []byte(twoIndexes))
	if err != nil {
		t.Fatal(err)
	}
	want := []Index{
		{"corp", "https://pkg.example.org/simple/", []string{"corp-*", "secret-sauce"}},
		{"wheels", "http://wheels.example.org/simple/", []string{"numpy", "corp-wheel"}},
	}
	if d := cmp.Diff(want, c.Index); d != "" || c.Sync.Latest != 2 || c.Data != "d" {
		t.Errorf("%s %+v", d, c)
	}
	again, err := Parse("rendered", Render(c))
	if d := cmp.Diff(c, again); err != nil || d != "" {
		t.Errorf("rendered and read: %v %s", err, d)
	}
	for name, owner := range map[pypi.Name]string{
		"corp-tools": "corp", "corp": "", "corp-": "corp", "secret-sauce": "corp", "secret-sauces": "", "my-corp-x": "",
		"numpy": "wheels", "numpy-x": "", "corp-wheel": "corp", "requests": "",
	} {
		if got := c.Owner(name); got != owner {
			t.Errorf("%s belongs to %q, want %q: the first index that claims it, else the default one", name, got, owner)
		}
	}
}

// What is uploaded here comes from no index, whatever one claims.
func TestPrivateNamesAreNobodys(t *testing.T) {
	c, err := Parse("f", []byte(twoIndexes+"[private]\nnames = [\"Corp_Own*\"]\n"))
	if err != nil || c.Owner("corp-own-x") != "" || c.Owner("corp-x") != "corp" {
		t.Errorf("%q, %q, %v", c.Owner("corp-own-x"), c.Owner("corp-x"), err)
	}
}

func TestIndexFaults(t *testing.T) {
	const good = "name = \"corp\"\nurl = \"http://a.example/\"\nprojects = [\"a\"]\n"
	for text, want := range map[string]string{
		"[[index]]\n": "expected name, such as",
		"[[index]]\n" + strings.Replace(good, "corp", "simple", 1):          "no address of this box",
		"[[index]]\n" + strings.Replace(good, "corp", "Corp", 1):            "lower-case",
		"[[index]]\n" + strings.Replace(good, "http://a.example/", "a", 1):  "URL of a simple index",
		"[[index]]\n" + strings.Replace(good, "http:", "http://me:pw@x", 1): "URL of a simple index",
		"[[index]]\n" + strings.Replace(good, `["a"]`, `[]`, 1):             "a list, such as",
		"[[index]]\n" + strings.Replace(good, `["a"]`, `["a[b]"]`, 1):       "name of a project",
		"[[index]]\n" + good + "colour = 1\n":                               "one of name, url and projects",
		"[[index]]\n" + good + "[[index]]\n" + good:                         "no other index has",
		"[index]\n" + good: "tables of name",
		"index = true\n":   "tables of name",
		strings.Repeat("[[index]]\n"+good, MaxIndexes+1): "at most 8",
	} {
		c, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngives %+v, %v; want %q", text, c.Index, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "pw@") {
			t.Errorf("a password is shown: %v", err)
		}
	}
}
