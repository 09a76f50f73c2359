package pypi

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// vectorsFile holds what Python's packaging library, version 26.4, answers.
const vectorsFile = "../../../shared/data/packaging-vectors.json.gz"

// vector is one question to the library and its answer: either ok or the name
// of the exception.
type vector struct {
	Op  string            `json:"op"`
	In  []json.RawMessage `json:"in"`
	Out struct {
		OK  any    `json:"ok"`
		Err string `json:"err"`
	} `json:"out"`
}

// vectorOps answers the questions in the form in which the library did.
var vectorOps = map[string]func(*arguments) (any, error){
	"version":              answerVersion,
	"cmp":                  answerCompare,
	"canonicalize_version": answerCanonicalVersion,
	"spec_parse":           answerSpecifier,
	"set_parse":            answerSpecifiers,
	"spec_contains":        answerContains,
	"set_contains":         answerContains,
	"spec_filter":          answerFilter,
	"set_filter":           answerFilter,
	"marker_parse":         answerMarker,
	"marker_eval":          answerEvaluate,
	"marker_env":           answerEvaluate,
	"marker_env_real":      answerEvaluate,
	"req_parse":            answerRequirement,
	"tags":                 answerTags,
	"parse_wheel_filename": answerWheel,
	"parse_sdist_filename": answerSdist,
	"canonicalize_name":    answerName,
	"is_normalized_name":   answerIsNormalized,
}

// difference is an answer that differs from that of the library.
type difference struct {
	reason string
	want   any // nil for an error
}

// differences lists all of them by their question.
var differences = map[string]difference{
	`parse_wheel_filename [["foo_b\u00e1r-1.0-1000-py3-none-any.whl"],{}]`: {
		reason: "the core metadata specification allows ASCII only in the name of a project, " +
			"and a Name is safe in a path and a URL",
	},
	`set_parse [[">=1.0","!=1.1","!=1.2","<2.0"]]`: {
		reason: "the library was given an iterator that writing down the question had used up, " +
			"so it answered for the empty set",
		want: "!=1.1,!=1.2,<2.0,>=1.0",
	},
}

// TestVectors holds every answer of this package against that of the library.
func TestVectors(t *testing.T) {
	env, vectors := readVectors(t)
	seen := map[string]int{}
	met := 0
	for _, v := range vectors {
		answer, known := vectorOps[v.Op]
		if !known {
			t.Fatalf("the vectors ask for %q, which no answer is known for", v.Op)
		}
		seen[v.Op]++
		args := &arguments{in: v.In, env: env}
		got, err := answer(args)
		if args.err != nil {
			t.Fatalf("%s: read the arguments: %v", v.question(), args.err)
		}
		if differs, ok := differences[v.question()]; ok {
			met++
			v.Out.OK, v.Out.Err = differs.want, ""
			if differs.want == nil {
				v.Out.Err = "an error: " + differs.reason
			}
		}
		v.check(t, got, err)
	}
	for op := range vectorOps {
		if seen[op] == 0 {
			t.Errorf("no vector asks for %s", op)
		}
	}
	if met != len(differences) {
		t.Errorf("%d of the %d listed differences were met", met, len(differences))
	}
	if len(vectors) < 26000 {
		t.Errorf("%d vectors, want the 26,414 that the file had", len(vectors))
	}
}

func (v vector) question() string {
	parts := make([]string, len(v.In))
	for i, raw := range v.In {
		parts[i] = string(raw)
	}
	return fmt.Sprintf("%s [%.300s]", v.Op, strings.ReplaceAll(strings.Join(parts, ","), " ", ""))
}

// check compares an answer with that of the library. Of an error it compares
// the kind where the package tells kinds apart.
func (v vector) check(t *testing.T, got any, err error) {
	t.Helper()
	if v.Out.Err != "" {
		wanted := map[string]error{
			"UndefinedEnvironmentName": ErrUndefinedVariable,
			"UndefinedComparison":      ErrUndefinedComparison,
		}[v.Out.Err]
		switch {
		case err == nil:
			t.Errorf("%s = %v, want %s", v.question(), got, v.Out.Err)
		case wanted != nil && !errors.Is(err, wanted):
			t.Errorf("%s: error %v, want %s", v.question(), err, v.Out.Err)
		case wanted == nil && (errors.Is(err, ErrUndefinedVariable) || errors.Is(err, ErrUndefinedComparison)):
			t.Errorf("%s: error %v, want %s", v.question(), err, v.Out.Err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: error %v, want %v", v.question(), err, v.Out.OK)
		return
	}
	if got := asJSON(t, got); !reflect.DeepEqual(got, v.Out.OK) {
		t.Errorf("%s\n got %.2000v\nwant %.2000v", v.question(), got, v.Out.OK)
	}
}

// asJSON gives a value the form that it has when it is read from JSON.
func asJSON(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("write %v as JSON: %v", value, err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("read %s as JSON: %v", text, err)
	}
	return out
}

// readVectors reads the file, which stands beside the checkout.
func readVectors(t testing.TB) (Environment, []vector) {
	t.Helper()
	path, err := filepath.Abs(vectorsFile)
	if err != nil {
		t.Fatalf("find the vectors: %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("The vectors of Python's packaging library are missing: they were looked for at %s, "+
			"in the folder shared beside the checkout: %v", path, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("unpack %s: %v", path, err)
	}
	var file struct {
		Env     Environment `json:"env"`
		Vectors []vector    `json:"vectors"`
	}
	if err := json.NewDecoder(unpacked).Decode(&file); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return file.Env, file.Vectors
}

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
