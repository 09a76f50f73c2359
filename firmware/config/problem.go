package config

import (
	"errors"
	"fmt"
	"strings"
)

// maxShown is how many problems one error prints; the others are counted.
const maxShown = 50

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Source string // the name of the file, "--set", or "" where Key is a variable
	Line   int    // from 1; 0 where the source has no lines
	Column int    // from 1, in characters
	Key    string // dotted path of the key, or the name of the variable; may be empty
	Reason string // what is wrong and what was expected, in one line
}

// Error gives one line: `cheeseboard.toml:12:12: sync.interval: "6 hours":
// expected a duration such as …`.
func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Source != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", p.Source, p.Line, p.Column)
	case p.Source != "" && p.Key != "":
		b.WriteString(p.Source + " ")
	case p.Source != "":
		b.WriteString(p.Source + ": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Reason)
	return b.String()
}

// Problems is the error that every function of this package gives for what
// stands in a configuration: all that is wrong, in the order of the source.
type Problems []Problem

// Error gives one line for each problem, and counts those beyond the fiftieth.
func (p Problems) Error() string {
	lines := make([]string, 0, min(len(p), maxShown)+1)
	for i, problem := range p {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("… and %d more problems", len(p)-maxShown))
			break
		}
		lines = append(lines, problem.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each problem to errors.As.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i := range p {
		errs[i] = p[i]
	}
	return errs
}

// orNil keeps an empty list from becoming an error that is not nil.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// join makes one error of the problems of several sources. An error that is
// not a list of problems, such as a file that cannot be read, stands alone.
func join(errs ...error) error {
	var all Problems
	for _, err := range errs {
		var list Problems
		switch {
		case err == nil:
		case errors.As(err, &list):
			all = append(all, list...)
		default:
			return err
		}
	}
	return all.orNil()
}
