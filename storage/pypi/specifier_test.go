package pypi

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func mustSpecifiers(t testing.TB, s string) Specifiers {
	t.Helper()
	specifiers, err := ParseSpecifiers(s)
	if err != nil {
		t.Fatal(err)
	}
	return specifiers
}

func TestFilterBy(t *testing.T) {
	type file struct{ name, version string }
	files := []file{{"a", "1.0"}, {"b", "2.0rc1"}, {"c", "1.5"}, {"d", "not a version"}, {"e", "2.1"}}
	version := func(f file) Version {
		v, err := ParseVersion(f.version)
		if err != nil {
			return Version{}
		}
		return v
	}
	for _, test := range []struct {
		specifiers string
		rule       Prereleases
		want       string
	}{
		{">=1.0,<2.1", PrereleasesIfNeeded, "ac"},
		{">=1.0,<2.1", PrereleasesAlways, "abc"},
		{">=1.6,<2.1", PrereleasesIfNeeded, "b"}, // nothing else is there
		{">=1.6,<2.1", PrereleasesNever, ""},
		{">=1.0rc1", PrereleasesIfNeeded, "abce"}, // it names one
		{"", PrereleasesNever, "acde"},            // no condition, so text will do
		{"!=1.5", PrereleasesIfNeeded, "ae"},
	} {
		var got strings.Builder
		for _, f := range FilterBy(mustSpecifiers(t, test.specifiers), files, version, test.rule) {
			got.WriteString(f.name)
		}
		if got.String() != test.want {
			t.Errorf("%q with rule %d chooses %q, want %q", test.specifiers, test.rule, got.String(), test.want)
		}
	}
}

func TestArbitraryEqualityComparesTheNormalForm(t *testing.T) {
	s := mustSpecifiers(t, "===1.0RC1")
	if !s.Contains(mustVersion(t, "1.0-rc.1"), PrereleasesIfNeeded) {
		t.Error("===1.0RC1 does not contain the version 1.0rc1")
	}
	if s.ContainsText("1.0-rc.1", PrereleasesIfNeeded) {
		t.Error("===1.0RC1 contains the text 1.0-rc.1")
	}
	if s.Contains(mustVersion(t, "1.0rc1"), PrereleasesNever) {
		t.Error("===1.0RC1 contains a pre-release where none may be chosen")
	}
}

func TestFilterKeepsItsInput(t *testing.T) {
	versions := []Version{mustVersion(t, "2"), mustVersion(t, "1"), mustVersion(t, "3a1")}
	before := slices.Clone(versions)
	got := mustSpecifiers(t, "<3").Filter(versions, PrereleasesIfNeeded)
	if !slices.Equal(got, before[:2]) || !slices.Equal(versions, before) {
		t.Errorf("got %v of %v", got, versions)
	}
}

func TestParseSpecifiersIsBounded(t *testing.T) {
	if _, err := ParseSpecifiers(strings.Repeat(">=1,", maxSpecifiersLength/4+1)); err == nil {
		t.Error("a set longer than the limit was accepted")
	}
	many := mustSpecifiers(t, strings.Repeat(">=1,>=1.0,", maxSpecifiersLength/10))
	if many.String() != ">=1" {
		t.Errorf("the same condition many times is %.80s", many)
	}
}

// opposites are pairs of operators of which exactly one holds.
var opposites = map[string]string{"==": "!=", "!=": "=="}

func FuzzParseSpecifiers(f *testing.F) {
	for i, s := range []string{
		"", ">=3.8", ">=3.6,!=3.7.*,<4", "~=1.4.2", "==2.0+cpu", "===foobar", "<2.0.post1", ">1.0.post1,>1.0",
		" >= 2.7, !=3.0.*, !=3.1.*, ", "==1!2.*", ">1.0a1,<=1.0+abc", "=== 1.0;", "~=1", ">=1,<1rc",
	} {
		f.Add(s, orderedVersions[i*2])
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		s, err := ParseSpecifiers(text)
		if err != nil {
			return
		}
		again, err := ParseSpecifiers(s.String())
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%q is %#v, and its text is %#v, %v", text, s, again, err)
		}
		c := textCandidate(version)
		all := true
		for _, spec := range s.list {
			all = all && spec.matches(c)
			checkSpecifier(t, spec, c)
		}
		if got := s.ContainsText(version, PrereleasesAlways); got != all {
			t.Errorf("%s contains %q: %t, its conditions: %t", s, version, got, all)
		}
		for _, rule := range []Prereleases{PrereleasesIfNeeded, PrereleasesNever, PrereleasesAlways} {
			alone := len(s.FilterText([]string{version}, rule)) == 1
			if got := s.ContainsText(version, rule); got != alone {
				t.Errorf("%s with rule %d contains %q: %t, as the only choice: %t", s, rule, version, got, alone)
			}
		}
	})
}

// checkSpecifier holds a condition against what must be true of all of them.
func checkSpecifier(t *testing.T, spec Specifier, c candidate) {
	t.Helper()
	if opposite := opposites[spec.operator]; opposite != "" && c.known {
		other, err := ParseSpecifier(opposite + spec.operand)
		if err != nil || other.matches(c) == spec.matches(c) {
			t.Errorf("%s and %s agree on %q, %v", spec, other, c.text, err)
		}
	}
	if !c.known || !spec.matches(c) {
		return
	}
	order := c.version.comparePublic(spec.version)
	switch spec.operator {
	case ">", "<":
		if order == 0 || (order > 0) != (spec.operator == ">") {
			t.Errorf("%s holds for %s", spec, c.version)
		}
	case ">=", "~=":
		if order < 0 {
			t.Errorf("%s holds for %s", spec, c.version)
		}
	case "<=":
		if order > 0 {
			t.Errorf("%s holds for %s", spec, c.version)
		}
	}
}
