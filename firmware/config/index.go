package config

import (
	"path"
	"slices"
	"strings"

	"cheeseboard/storage/pypi"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Index is one [[index]]: another upstream than the default one, and the projects
// that come from it and from nowhere else.
type Index struct {
	Name     string   // lower-case letters, digits and hyphens; a part of addresses
	URL      string   // absolute http or https, without a user, query or fragment
	Projects []string // names in their normal form, in which * stands for anything; never empty
}

// MaxIndexes bounds the list: each index has a watch on its line.
const MaxIndexes = 8

// Owns tells whether a project comes from this index, if no index before it says so.
func (x Index) Owns(name pypi.Name) bool {
	return slices.ContainsFunc(x.Projects, func(pattern string) bool {
		is, err := path.Match(pattern, string(name))
		return err == nil && is
	})
}

// Owner gives the name of the index that a project comes from: the first that says
// so; "" for [upstream], and for private.names, which come from nowhere.
func (c Config) Owner(name pypi.Name) string {
	if slices.ContainsFunc(c.Private.Names, func(text string) bool {
		p, err := pypi.ParseNamePattern(text)
		return err == nil && p.Match(name)
	}) {
		return ""
	}
	for _, x := range c.Index {
		if x.Owns(name) {
			return x.Name
		}
	}
	return ""
}

// reserved are the first parts of addresses that mean something else.
var reserved = []string{
	"simple", "files", "packages", "pypi", "search", "healthz", "metrics", "project", "integrity", "legacy",
	"admin", "api", "assets", "static", "login", "logout", "status", "events", "ca", "default",
}

var indexName = lazily(`^[a-z][a-z0-9-]{0,30}[a-z0-9]$`)

func checkIndexName(s string) string {
	const want = `a short name of lower-case letters, digits and hyphens such as "corp"`
	switch {
	case !indexName().MatchString(s):
		return want
	case slices.Contains(reserved, s):
		return want + ", which is no address of this box already"
	}
	return ""
}

// checkPattern accepts the name of a project, in which * may stand for anything.
func checkPattern(s string) string {
	_, err := pypi.ParseName(strings.ReplaceAll(s, "*", "x"))
	if err != nil {
		return `the name of a project, in which * may stand for anything, such as "corp-*"`
	}
	return ""
}

// normalPattern brings a pattern into the form of names (PEP 503).
func normalPattern(s string) string {
	return separators().ReplaceAllString(strings.ToLower(s), "-")
}

var separators = lazily(`[-_.]+`)

// indexes is the setting of all [[index]] tables. In a variable or a flag it is an
// array of inline tables.
type indexes struct{ at *[]Index }

func (l indexes) fromText(text string) value {
	if v, ok := parseValue(text); ok {
		return v
	}
	return value{kind: unstable.Invalid, text: text}
}

func (l indexes) set(v value) []fault {
	const want = `tables of name, url and projects` + suchAs
	if v.kind != unstable.Array {
		return []fault{{v, want}}
	}
	if len(v.items) > MaxIndexes {
		return []fault{{v, "at most 8 of them" + suchAs}}
	}
	var got []Index
	var faults []fault
	for _, item := range v.items {
		if item.kind != unstable.InlineTable {
			faults = append(faults, fault{item, want})
			continue
		}
		x, wrong := readIndex(item)
		if slices.ContainsFunc(got, func(other Index) bool { return other.Name == x.Name && x.Name != "" }) {
			wrong = append(wrong, fault{value{kind: unstable.String, text: x.Name, at: item.at}, "a name that no other index has"})
		}
		faults = append(faults, wrong...)
		got = append(got, x)
	}
	if len(faults) == 0 {
		*l.at = got
	}
	return faults
}

// readIndex reads one table.
func readIndex(table value) (x Index, faults []fault) {
	settings := map[string]setting{
		"name":     text(&x.Name, checkIndexName),
		"url":      text(&x.URL, checkMirrorURL),
		"projects": list{at: &x.Projects, needed: true, check: checkPattern},
	}
	examples := map[string]string{"name": `"corp"`, "url": `"https://pkg.example.org/simple/"`, "projects": `["corp-*"]`}
	order := []string{"name", "url", "projects"}
	for _, field := range table.fields {
		key := field.path[len(field.path)-1]
		s, known := settings[key]
		if !known {
			faults = append(faults, fault{value{kind: unstable.Invalid, text: key, at: field.at}, "one of name, url and projects"})
			continue
		}
		for _, f := range s.set(field.value) {
			if strings.HasSuffix(f.want, suchAs) {
				f.want += examples[key]
			}
			faults = append(faults, f)
		}
		order = slices.DeleteFunc(order, func(missing string) bool { return missing == key })
	}
	for _, missing := range order {
		faults = append(faults, fault{table, missing + suchAs + examples[missing]})
	}
	for i := range x.Projects {
		x.Projects[i] = normalPattern(x.Projects[i])
	}
	return x, faults
}

func (l indexes) toml() string {
	if len(*l.at) == 0 {
		return "[]"
	}
	var b strings.Builder
	b.WriteString("[\n")
	for _, x := range *l.at {
		patterns := make([]string, len(x.Projects))
		for i, p := range x.Projects {
			patterns[i] = quote(p)
		}
		b.WriteString("  { name = " + quote(x.Name) + ", url = " + quote(x.URL) + ", projects = [" + strings.Join(patterns, ", ") + "] },\n")
	}
	b.WriteString("]")
	return b.String()
}
