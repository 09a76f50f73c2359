package config

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Forgiven is what was wrong with a file that was forgiven; nil is nothing.
type Forgiven struct {
	err error // Problems, or why the file could not be read at all
	// Held: a mistake may be about what is fetched, from where, or for how much. Until
	// the file is mended nothing is to be fetched that nobody waits for.
	Held bool
}

// Error gives what Lines gives, one on each line.
func (f *Forgiven) Error() string { return f.err.Error() }

// Unwrap gives Problems, or the error of reading the file.
func (f *Forgiven) Unwrap() error { return f.err }

// Lines gives one sentence for each mistake, with its place.
func (f *Forgiven) Lines() []string {
	if f == nil {
		return nil
	}
	return strings.Split(f.Error(), "\n")
}

// LoadForgiving is Load for a box that has to come up whatever a person has written. The
// Config can be used in any case. What is wrong keeps its default, of a list what is
// right holds, and nothing of a file that is not TOML or cannot be read.
//
// Mistakes open no door: where one may be about whom a name belongs to (index, private,
// upstream) or about what is blocked (policy), nothing is pulled through; where one may
// be about who may read, only those may who show a token; where one may be about updates, none
// is made by itself.
func LoadForgiving(path string) (Config, *Forgiven) {
	data, err := readFile(path)
	if err != nil {
		c := Default()
		return c, &Forgiven{err: err, Held: true}
	}
	return parseForgiving(path, data)
}

func parseForgiving(name string, data []byte) (Config, *Forgiven) {
	c := Default()
	err := c.apply(name, data, true)
	if err == nil {
		return c, nil
	}
	var problems Problems
	if !errors.As(err, &problems) {
		problems = nil
	}
	m := mistakes{problems, data}
	if m.touch("index", "private", "policy", "upstream") {
		c.Pull.Enabled = false
	}
	if m.touch("access") {
		c.Access.Read = ReadToken
	}
	if m.touch("update") {
		c.Update.Automatic = false
	}
	return c, &Forgiven{err: err, Held: !c.Pull.Enabled || m.touch("line")}
}

// mistakes are problems, and the document that they are about.
type mistakes struct {
	problems Problems
	data     []byte
}

// touch tells whether one of them may be about one of these tables. A table that is not
// known may be any that was meant; so may each that a file mentions which is not TOML.
func (m mistakes) touch(tables ...string) bool {
	return slices.ContainsFunc(m.problems, func(p Problem) bool {
		table, _, _ := strings.Cut(p.Key, ".")
		switch {
		case p.Key == "":
			mentioned := regexp.MustCompile(`(?mi)^\W*(` + strings.Join(tables, "|") + `)\b`)
			return mentioned.Match(m.data) || bytes.IndexByte(m.data, 0) >= 0 // UTF-16 hides words
		case !isTable(table) && table != indexPath && table != "data":
			return true
		}
		return slices.Contains(tables, table)
	})
}

// Forgive is Load, but for what is wrong in the file, which is given beside the Config;
// see LoadForgiving. Mistakes in the environment and in flags are errors all the same:
// they are those of a program, and nobody mends them at a laptop.
func (s Sources) Forgive() (Config, *Forgiven, error) {
	c, forgiven := Default(), (*Forgiven)(nil)
	if path, named := s.file(); named {
		c, forgiven = LoadForgiving(path)
	} else if data, err := readFile(path); err == nil {
		c, forgiven = parseForgiving(path, data)
	}
	if err := s.over(&c); err != nil {
		return Default(), nil, err
	}
	return c, forgiven, nil
}

// without gives a list without the items in which there are faults; the same list where
// the fault is another.
func (v value) without(faults []fault) value {
	if v.kind != unstable.Array {
		return v
	}
	bad := make([]bool, len(v.items))
	for _, f := range faults {
		for i := range v.items {
			if v.items[i].at <= f.value.at && (i+1 == len(v.items) || f.value.at < v.items[i+1].at) {
				bad[i] = true
			}
		}
	}
	good := v
	good.items = nil
	for i, item := range v.items {
		if !bad[i] {
			good.items = append(good.items, item)
		}
	}
	return good
}
