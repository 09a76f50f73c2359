package pypi

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
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
