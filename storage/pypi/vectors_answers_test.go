package pypi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// arguments reads the arguments of one question. The first mistake stays in err.
type arguments struct {
	in  []json.RawMessage
	env Environment // of the machine that the library ran on
	err error
}

// argument reads argument i as a T. It reports false for null.
func argument[T any](a *arguments, i int) (T, bool) {
	var value *T
	if i >= len(a.in) {
		a.err = errors.Join(a.err, fmt.Errorf("%d arguments, want %d", len(a.in), i+1))
	} else if err := json.Unmarshal(a.in[i], &value); err != nil {
		a.err = errors.Join(a.err, fmt.Errorf("argument %d: %w", i, err))
	}
	if value == nil {
		return *new(T), false
	}
	return *value, true
}

func (a *arguments) text(i int) string {
	s, _ := argument[string](a, i)
	return s
}

// call reads the arguments of a Python call: positional ones and, as bools,
// those with a name.
func (a *arguments) call() (first string, named map[string]bool) {
	positional, _ := argument[[]string](a, 0)
	named, _ = argument[map[string]bool](a, 1)
	if len(positional) != 1 {
		a.err = errors.Join(a.err, fmt.Errorf("%d positional arguments, want 1", len(positional)))
		return "", named
	}
	return positional[0], named
}

// prereleases reads argument i: null, true or false.
func (a *arguments) prereleases(i int) Prereleases {
	switch allowed, stated := argument[bool](a, i); {
	case !stated:
		return PrereleasesIfNeeded
	case allowed:
		return PrereleasesAlways
	default:
		return PrereleasesNever
	}
}

func answerVersion(a *arguments) (any, error) {
	var s string
	if err := json.Unmarshal(a.in[0], &s); err != nil || string(a.in[0]) == "null" {
		return nil, errors.New("not text, which Go's types refuse")
	}
	v, err := ParseVersion(s)
	return []any{v.String(), v.IsPrerelease(), v.IsPostrelease(), v.IsDevrelease()}, err
}

func answerCompare(a *arguments) (any, error) {
	v, err := ParseVersion(a.text(0))
	w, err2 := ParseVersion(a.text(1))
	if back := w.Compare(v); back != -v.Compare(w) {
		return nil, fmt.Errorf("%s and %s compare as %d and %d", v, w, v.Compare(w), back)
	}
	if (v.Key() == w.Key()) != (v.Compare(w) == 0) {
		return nil, fmt.Errorf("the keys of %s and %s contradict Compare", v, w)
	}
	return v.Compare(w), errors.Join(err, err2)
}

func answerCanonicalVersion(a *arguments) (any, error) {
	s, named := a.call()
	v, err := ParseVersion(s)
	strip, stated := named["strip_trailing_zero"]
	switch {
	case err != nil: // the library gives back what is no version
		return s, nil
	case stated && !strip:
		return v.String(), nil
	default:
		return v.Key(), nil
	}
}

func answerSpecifier(a *arguments) (any, error) {
	s, err := ParseSpecifier(a.text(0))
	return s.String(), err
}

// answerSpecifiers answers for a set as one text or as a list.
func answerSpecifiers(a *arguments) (any, error) {
	if a.in[0][0] == '[' {
		list, _ := argument[[]string](a, 0)
		s, err := ParseSpecifiers(strings.Join(list, ","))
		return s.String(), err
	}
	s, err := ParseSpecifiers(a.text(0))
	return s.String(), err
}

// answerContains answers for one specifier and for a set: specifiers, version,
// the rule of the call, that of the set, and for a set whether the version is
// installed, which allows it as a pre-release.
func answerContains(a *arguments) (any, error) {
	s, err := ParseSpecifiers(a.text(0))
	s = s.WithPrereleases(a.prereleases(3))
	rule := a.prereleases(2)
	if len(a.in) > 4 {
		v, err := ParseVersion(a.text(1))
		if installed, _ := argument[bool](a, 4); installed && err == nil && v.IsPrerelease() {
			rule = PrereleasesAlways
		}
	}
	got := s.ContainsText(a.text(1), rule)
	if v, err := ParseVersion(a.text(1)); err == nil && !strings.Contains(s.String(), "===") {
		if s.Contains(v, rule) != got {
			return nil, fmt.Errorf("%s contains %s as text or as a version, not as both", s, v)
		}
	}
	return got, err
}

// answerFilter takes specifiers, versions and the two rules, as answerContains.
func answerFilter(a *arguments) (any, error) {
	s, err := ParseSpecifiers(a.text(0))
	versions, _ := argument[[]string](a, 1)
	got := s.WithPrereleases(a.prereleases(3)).FilterText(versions, a.prereleases(2))
	if got == nil {
		got = []string{}
	}
	return got, err
}

func answerMarker(a *arguments) (any, error) {
	m, err := ParseMarker(a.text(0))
	return m.String(), err
}

// answerEvaluate answers for all three ways in which markers were evaluated:
// marker, environment or what differs from that of the machine, and the kind of
// metadata (marker_eval) or the extra (the others).
func answerEvaluate(a *arguments) (any, error) {
	m, err := ParseMarker(a.text(0))
	if err != nil {
		return nil, err
	}
	env := Environment{}
	for name, value := range a.env {
		env[name] = value
	}
	changes, _ := argument[map[string]string](a, 1)
	var extras []string
	for name, value := range changes {
		if name == "extra" && value != "" {
			extras = append(extras, value)
		} else {
			env[name] = value
		}
	}
	if a.text(2) == "lock_file" {
		return m.EvaluateLock(env, extras, nil)
	}
	return m.Evaluate(env, extras)
}

func answerRequirement(a *arguments) (any, error) {
	r, err := ParseRequirement(a.text(0))
	var url, marker any
	if r.URL != "" {
		url = r.URL
	}
	if r.Marker != nil {
		marker = r.Marker.String()
	}
	return map[string]any{
		"name": r.RawName, "extras": append([]string{}, r.Extras...),
		"spec": r.Specifiers.String(), "url": url, "marker": marker,
	}, err
}

func answerTags(a *arguments) (any, error) {
	target, _ := argument[Target](a, 0)
	var tags []string
	for _, tag := range Tags(target) {
		tags = append(tags, tag.String())
	}
	return tags, nil
}

func answerWheel(a *arguments) (any, error) {
	filename, named := a.call()
	w, err := ParseWheelFilename(filename)
	if err == nil && named["validate_order"] && !w.Sorted {
		err = errors.New("the tags are not in order")
	}
	build := []any{}
	if w.Build != (BuildTag{}) {
		build = []any{json.Number(w.Build.Number), w.Build.Suffix}
	}
	var tags []string
	for _, tag := range w.Tags {
		tags = append(tags, tag.String())
	}
	slices.Sort(tags)
	return []any{w.Name, map[string]string{"V": w.Version.String()}, build, tags}, err
}

func answerSdist(a *arguments) (any, error) {
	filename, _ := a.call()
	name, version, err := ParseSdistFilename(filename)
	return []any{name, map[string]string{"V": version.String()}}, err
}

func answerName(a *arguments) (any, error) {
	s, named := a.call()
	name, err := ParseName(s)
	if err == nil && string(name) != NormalizeExtra(s) {
		return nil, fmt.Errorf("%q is %q as a project and %q as an extra", s, name, NormalizeExtra(s))
	}
	if named["validate"] {
		return name, err
	}
	return NormalizeExtra(s), nil
}

func answerIsNormalized(a *arguments) (any, error) {
	s, _ := a.call()
	name, err := ParseName(s)
	return err == nil && string(name) == s, nil
}
