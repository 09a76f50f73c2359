package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// leaves lists the fields of a Config that hold values, as "Sync.Interval".
func leaves(v reflect.Value, prefix string) map[string]any {
	all := map[string]any{}
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		if field := v.Field(i); field.Kind() == reflect.Struct {
			for inner, x := range leaves(field, name+".") {
				all[inner] = x
			}
		} else {
			all[name] = field.Interface()
		}
	}
	return all
}

func changed(a, b Config) []string {
	before, after := leaves(reflect.ValueOf(a), ""), leaves(reflect.ValueOf(b), "")
	var names []string
	for name := range before {
		if !reflect.DeepEqual(before[name], after[name]) {
			names = append(names, name)
		}
	}
	return names
}

// fieldName is how a key is written in Go: sync.max-file-size is
// Sync.MaxFileSize. Abbreviations are compared without case.
func fieldName(path string) string {
	return strings.ReplaceAll(path, "-", "")
}

// Every field has a key, every key sets the field of its name and no other, and
// does so alike from the file, a variable and a flag.
func TestEveryKeySetsItsField(t *testing.T) {
	defaults := Default()
	missing := leaves(reflect.ValueOf(defaults), "")
	for _, k := range keysOf(&defaults) {
		t.Run(k.path, func(t *testing.T) {
			fromFile, err := Parse("test.toml", []byte(k.path+" = "+k.example))
			if err != nil {
				t.Fatalf("the example of the key is refused: %v", err)
			}
			fields := changed(Default(), fromFile)
			if len(fields) != 1 || !strings.EqualFold(fields[0], fieldName(k.path)) {
				t.Fatalf("the example changes %v, want the field %s alone", fields, fieldName(k.path))
			}
			delete(missing, fields[0])

			fromEnv := Default()
			if err := ApplyEnv(&fromEnv, []string{k.variable() + "=" + k.example}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fromFile, fromEnv); diff != "" {
				t.Errorf("a variable sets something else than the file:\n%s", diff)
			}
			fromFlag := Default()
			if err := Set(&fromFlag, k.path, k.example); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fromFile, fromFlag); diff != "" {
				t.Errorf("a flag sets something else than the file:\n%s", diff)
			}
			bare := strings.Trim(k.example, `"`)
			fromBare := Default()
			if err := Set(&fromBare, k.path, bare); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fromFile, fromBare); diff != "" {
				t.Errorf("%s without quotes sets something else:\n%s", bare, diff)
			}
		})
	}
	for name := range missing {
		t.Errorf("the field %s has no key", name)
	}
}

func TestKeysAreDocumentedAndDistinct(t *testing.T) {
	c := Default()
	seen := map[string]string{}
	used := map[string]bool{}
	for _, k := range keysOf(&c) {
		if !strings.HasSuffix(k.comment, ".") || strings.Contains(k.comment, "\n") {
			t.Errorf("%s: the comment is not a sentence on one line: %q", k.path, k.comment)
		}
		if other := seen[k.variable()]; other != "" {
			t.Errorf("%s and %s share the variable %s", other, k.path, k.variable())
		}
		seen[k.variable()] = k.path
		if k.variable() == FileVariable || strings.HasPrefix(k.variable(), envTestPrefix) {
			t.Errorf("%s: the variable %s means something else", k.path, k.variable())
		}
		if name, _, ok := strings.Cut(k.path, "."); ok {
			used[name] = true
		}
	}
	for _, tbl := range tables() {
		if !used[tbl.name] || tbl.comment == "" {
			t.Errorf("the table %s has no keys or no comment", tbl.name)
		}
		delete(used, tbl.name)
	}
	for name := range used {
		t.Errorf("the table %s is not listed", name)
	}
}

// A value of each wrong type is refused by each key, with an example of it.
func TestEveryKeyRefusesWrongTypes(t *testing.T) {
	c := Default()
	for _, k := range keysOf(&c) {
		accepted := 0
		values := []string{"true", "-1", "1.5", `"\u0007"`, "[[1]]", "{}", "1979-05-27", "12:00:00", "nan", `["\u0007"]`}
		for _, v := range values {
			_, err := Parse("f", []byte(k.path+" = "+v))
			if err == nil {
				accepted++
				continue
			}
			want := fmt.Sprintf("f:1:%d: %s: ", len(k.path)+4, k.path)
			if v[0] == '[' && strings.HasPrefix(err.Error(), "f:1:") {
				want = "f:1:" // points into the list where it can
			}
			if !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), ": expected ") {
				t.Errorf("%s = %s: %v", k.path, v, err)
			}
		}
		if boolean := k.example == "true" || k.example == "false"; accepted != 0 && !boolean || accepted > 1 {
			t.Errorf("%s accepts %d of %q", k.path, accepted, values)
		}
	}
}

func TestDefaultsPassTheirOwnChecks(t *testing.T) {
	c := Default()
	for _, k := range keysOf(&c) {
		v, ok := parseValue(k.toml())
		if !ok {
			t.Fatalf("%s: %s is not TOML", k.path, k.toml())
		}
		if faults := k.set(v); faults != nil {
			t.Errorf("%s: the default is refused: %v", k.path, faults)
		}
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("setting the defaults changes them:\n%s", diff)
	}
}

// The lists of one Default are not those of the next.
func TestDefaultIsFresh(t *testing.T) {
	a := Default()
	a.Sync.Python[0] = "2.7"
	if b := Default(); slices.Contains(b.Sync.Python, "2.7") {
		t.Error("a change of one default shows in the next")
	}
}
