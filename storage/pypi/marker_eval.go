package pypi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The errors of a marker that cannot be evaluated. Whoever must decide all the
// same should take the requirement for wanted.
var (
	// ErrUndefinedVariable is that of a marker that asks for a variable which
	// the environment does not have.
	ErrUndefinedVariable = errors.New("undefined marker variable")

	// ErrUndefinedComparison is that of an operator which has no meaning for
	// its operands, such as "~=" between two words.
	ErrUndefinedComparison = errors.New("undefined marker comparison")
)

// versionVariables are compared as versions where that is possible.
var versionVariables = map[string]bool{
	"implementation_version": true,
	"platform_release":       true,
	"python_full_version":    true,
	"python_version":         true,
}

// Evaluate reports whether the marker is met in the environment when the
// project is installed with these extras: with any one of them, or without an
// extra if there are none. Errors wrap ErrUndefinedVariable or
// ErrUndefinedComparison.
func (m *Marker) Evaluate(env Environment, extras []string) (bool, error) {
	if m == nil {
		return true, nil
	}
	if len(extras) == 0 {
		extras = []string{""}
	}
	for _, extra := range extras {
		met, err := m.expression.evaluate(&markerScope{env: env, extra: NormalizeExtra(extra)})
		if met || err != nil {
			return met, err
		}
	}
	return false, nil
}

// EvaluateLock is Evaluate for the marker of a lock file (PEP 751), where the
// variables "extras" and "dependency_groups" hold the whole sets, and "extra"
// is not defined.
func (m *Marker) EvaluateLock(env Environment, extras, groups []string) (bool, error) {
	if m == nil {
		return true, nil
	}
	return m.expression.evaluate(&markerScope{env: env, lock: true, extras: extras, groups: groups})
}

// markerScope is what the variables of a marker stand for.
type markerScope struct {
	env            Environment
	lock           bool   // a lock file: extras and groups are defined, extra is not
	extra          string // in normal form
	extras, groups []string
}

// markerValue is the value of a variable: text or a set of names.
type markerValue struct {
	text  string
	set   []string
	isSet bool
}

func (s *markerScope) lookup(name string) (markerValue, error) {
	switch {
	case s.lock && name == "extras":
		return markerValue{set: s.extras, isSet: true}, nil
	case s.lock && name == "dependency_groups":
		return markerValue{set: s.groups, isSet: true}, nil
	case !s.lock && name == "extra":
		return markerValue{text: s.extra}, nil
	}
	text, ok := s.env[name]
	if !ok {
		return markerValue{}, fmt.Errorf("%w: %s", ErrUndefinedVariable, name)
	}
	if name == "python_full_version" && strings.HasSuffix(text, "+") {
		text += "local" // what a Python built between two releases says of itself
	}
	return markerValue{text: text}, nil
}

// evaluate looks at every term, so that an error is not hidden by the order of
// the terms.
func (g markerGroup) evaluate(scope *markerScope) (bool, error) {
	met, row := false, true // a row of terms joined by "and"
	for i, term := range g {
		if i > 0 && term.or {
			met, row = met || row, true
		}
		var this bool
		var err error
		if term.group != nil {
			this, err = term.group.evaluate(scope)
		} else {
			this, err = term.comparison.evaluate(scope)
		}
		if err != nil {
			return false, err
		}
		row = row && this
	}
	return met || row, nil
}

// evaluate compares the operands in the way of the variable among them. Where
// both are variables the right one, and where both are text the left one, is
// taken for plain text: that is what Python's packaging library does, and so
// what every client does.
func (c comparison) evaluate(scope *markerScope) (bool, error) {
	key := c.right.text
	if c.left.variable {
		key = c.left.text
	}
	value, err := scope.lookup(key)
	if err != nil {
		return false, err
	}
	switch {
	case value.isSet && c.left.variable:
		return false, c.undefined("a set of names", c.right.text)
	case value.isSet:
		return c.compareSet(c.left.text, value.set)
	case c.left.variable:
		return c.compare(key, value.text, c.right.text)
	default:
		return c.compare(key, c.left.text, value.text)
	}
}

// compare holds two texts against each other, as versions if the variable holds
// a version and the right one can be read as one.
func (c comparison) compare(key, left, right string) (bool, error) {
	if versionVariables[key] {
		if spec, err := ParseSpecifier(c.operator + right); err == nil {
			return spec.matches(textCandidate(left)), nil
		}
	}
	switch c.operator {
	case "in":
		return strings.Contains(right, left), nil
	case "not in":
		return !strings.Contains(right, left), nil
	case "==", "<=", ">=":
		return left == right, nil
	case "!=":
		return left != right, nil
	case "<", ">":
		return false, nil
	}
	return false, c.undefined(left, right)
}

// compareSet holds a name against a set of names.
func (c comparison) compareSet(name string, set []string) (bool, error) {
	name = NormalizeExtra(name)
	within := slices.ContainsFunc(set, func(s string) bool { return NormalizeExtra(s) == name })
	switch c.operator {
	case "in":
		return within, nil
	case "not in":
		return !within, nil
	case "!=": // a name is never a set of names
		return true, nil
	case "==", "<=", ">=", "<", ">":
		return false, nil
	}
	return false, c.undefined(name, "a set of names")
}

func (c comparison) undefined(left, right string) error {
	return fmt.Errorf("%w: %.80q %s %.80q", ErrUndefinedComparison, left, c.operator, right)
}
