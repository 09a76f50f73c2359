package config

import (
	"bytes"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Parse reads a document over the defaults. The name stands in messages. The
// error is of type Problems, and the Config is then the default.
func Parse(name string, data []byte) (Config, error) {
	c := Default()
	if err := c.apply(name, data, false); err != nil {
		return Default(), err
	}
	return c, nil
}

// apply reads a document over c, which is half changed where there are problems. Where
// it forgives, of a list with mistakes what is right holds.
func (c *Config) apply(name string, data []byte, forgive bool) error {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return Problems{{Source: name, Line: 1, Column: 1, Reason: "the file is UTF-16; save it as UTF-8"}}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows editors begin UTF-8 with this mark
	doc, problem := readDocument(data)
	if problem != nil {
		problem.Source = name
		return Problems{*problem}
	}
	r := reader{source: name, data: data, lines: linesOf(data), keys: keysOf(c), forgive: forgive}
	for _, e := range gather(doc.entries) {
		r.entry(e)
	}
	return r.problems.orNil()
}

// gather makes one entry of all [[index]] tables: the array of tables that they are.
func gather(entries []entry) (out []entry) {
	at, inside := -1, false
	for _, e := range entries {
		switch {
		case e.value.kind == unstable.ArrayTable && joinPath(e.path) == indexPath:
			if inside = true; at < 0 {
				at = len(out)
				out = append(out, entry{path: e.path, at: e.at, value: value{kind: unstable.Array, at: e.at}})
			}
			out[at].value.items = append(out[at].value.items, value{kind: unstable.InlineTable, at: e.at})
		case inside && e.value.kind != unstable.Table && e.value.kind != unstable.ArrayTable:
			items := out[at].value.items
			items[len(items)-1].fields = append(items[len(items)-1].fields, e)
		default:
			inside = false
			out = append(out, e)
		}
	}
	return out
}

// reader applies the entries of a document and collects what is wrong.
type reader struct {
	source   string
	data     []byte
	lines    lines
	keys     []key
	forgive  bool
	skipping bool // inside a table that is not known, and was reported
	problems Problems
}

func (r *reader) entry(e entry) {
	header := e.value.kind == unstable.Table || e.value.kind == unstable.ArrayTable
	if header {
		r.skipping = false
	} else if r.skipping {
		return
	}
	path := joinPath(e.path)
	if i := slices.IndexFunc(r.keys, func(k key) bool { return k.path == path }); i >= 0 {
		r.skipping = header
		faults := r.keys[i].set(e.value)
		for _, f := range faults {
			r.add(f.value.at, path, f.String())
		}
		if rest := e.value.without(faults); r.forgive && len(faults) > 0 && len(rest.items) > 0 {
			_ = r.keys[i].set(rest) // what is wrong was reported, and is left out
		}
		return
	}
	if !isTable(path) {
		r.skipping = header
		reason := "unknown key"
		if len(r.problems) < maxShown { // a large file of another program takes no time
			reason = unknown(path, header, r.keys)
		}
		r.add(e.at, path, reason)
		return
	}
	switch e.value.kind {
	case unstable.Table:
	case unstable.InlineTable:
		for _, field := range e.value.fields {
			r.entry(field)
		}
	default:
		r.add(e.value.at, path, e.value.shown()+": expected a table, which begins with ["+path+"]")
		r.skipping = header
	}
}

func (r *reader) add(offset int, path, reason string) {
	line, column := r.lines.position(r.data, offset)
	r.problems = append(r.problems, Problem{r.source, line, column, shorten(path), reason})
}

func isTable(path string) bool {
	return slices.ContainsFunc(tables(), func(t table) bool { return t.name == path })
}

// unknown says what may have been meant by a key or a table that is not known.
func unknown(path string, header bool, keys []key) string {
	if header {
		names := make([]string, 0, len(tables()))
		for _, t := range tables() {
			names = append(names, t.name)
		}
		if meant := nearest(path, names, "."); meant != "" {
			return "unknown table; did you mean [" + meant + "]?"
		}
		return "unknown table; there are " + strings.Join(names, ", ")
	}
	if meant := nearest(path, paths(keys), "."); meant != "" {
		return "unknown key; did you mean " + meant + "?"
	}
	name, _, _ := strings.Cut(path, ".")
	var siblings []string
	for _, k := range keys {
		if own, last, ok := strings.Cut(k.path, "."); ok && own == name {
			siblings = append(siblings, last)
		}
	}
	if siblings == nil {
		return `unknown key; "cheeseboard config" prints all keys`
	}
	return "unknown key; [" + name + "] has " + strings.Join(siblings, ", ")
}
