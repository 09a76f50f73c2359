package pypi

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// orderedVersions are versions as projects write them, in the order of PEP 440.
var orderedVersions = []string{
	"0.dev0", "0.0.1a1", "0.9", "1.dev0", "1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12",
	"1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0",
	"1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.1.dev1", "2.31.0", "2024.2.2",
	"20230101", "99999999999999999999999999", "100000000000000000000000000", "1!0.1",
}

func mustVersion(t testing.TB, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionsSort(t *testing.T) {
	versions := make([]Version, len(orderedVersions))
	for i, s := range orderedVersions {
		versions[i] = mustVersion(t, s)
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(versions), func(i, j int) { versions[i], versions[j] = versions[j], versions[i] })
	slices.SortFunc(versions, Version.Compare)
	for i, v := range versions {
		if v.String() != orderedVersions[i] {
			t.Errorf("place %d is taken by %s, want %s", i, v, orderedVersions[i])
		}
	}
}

func TestVersionsThatAreEqual(t *testing.T) {
	for _, group := range [][]string{
		{"1", "1.0", "v1.0.0", " 1.0.00\n", "0!1", "00!01.0"},
		{"1.0a0", "1.0.alpha", "1.0-A_0", "1.0a", "1A"},
		{"1rc2", "1c2", "1pre2", "1.preview-2", "1.0.RC.2"},
		{"1.post3", "1-3", "1r3", "1.rev3", "1_POST_3", "1-03"},
		{"1.dev", "1dev0", "1-dev.0", "1.0_DEV"},
		{"1+ab.1", "1+AB-01", "1.0+aB_1"},
	} {
		first := mustVersion(t, group[0])
		for _, s := range group[1:] {
			v := mustVersion(t, s)
			if c := first.Compare(v); c != 0 || first.Key() != v.Key() {
				t.Errorf("%s and %s: Compare %d, keys %s and %s", first, v, c, first.Key(), v.Key())
			}
		}
	}
}

func TestZeroVersion(t *testing.T) {
	var none Version
	if !none.IsZero() || none.String() != "" || none.Key() != "" || none.Local() != "" || none.IsPrerelease() {
		t.Errorf("the zero version is %+v", none)
	}
	if one := mustVersion(t, "1"); none.Compare(one) != -1 || one.IsZero() {
		t.Error("the zero version does not come before 1")
	}
}

func TestParseVersionRefusesWhatIsTooLong(t *testing.T) {
	for name, s := range map[string]string{
		"release":      "1" + strings.Repeat(".1", maxVersionLength/2),
		"number":       strings.Repeat("1", maxVersionDigits+1),
		"normal form":  strings.Repeat("1.", (maxVersionLength-4)/2) + "1r",
		"only letters": strings.Repeat("a", maxVersionLength+1),
	} {
		if v, err := ParseVersion(s); err == nil {
			t.Errorf("%s: %d bytes are the version %.20s…", name, len(s), v)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	if _, err := ParseVersion(strings.Repeat("1", maxVersionDigits)); err != nil {
		t.Errorf("a number of %d digits: %v", maxVersionDigits, err)
	}
}

func TestParseVersionAllocatesNothing(t *testing.T) {
	for _, s := range []string{"2.31.0", "1.0rc1.post2.dev3+cpu.1"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = ParseVersion(s) }); n != 0 {
			t.Errorf("%s: %v allocations, want none for the normal form", s, n)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for i, s := range orderedVersions {
		f.Add(s, orderedVersions[(i*7+3)%len(orderedVersions)], "v1.0-A_3")
	}
	f.Add("2004d", "1.0-beta-2", "1.0.post-1-dev")
	f.Add("1!2.0RC1.POST3.DEV4+Ubuntu-1", "1.0.a.1.post.2.dev.3", "0.0+00")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var versions []Version
		for _, s := range []string{a, b, c} {
			v, err := ParseVersion(s)
			if err != nil {
				continue
			}
			versions = append(versions, v)
			if again, err := ParseVersion(v.String()); err != nil || again != v {
				t.Errorf("%q is %+v, and its normal form is %+v, %v", s, v, again, err)
			}
			if key, err := ParseVersion(v.Key()); err != nil || key.Compare(v) != 0 || key.Key() != v.Key() {
				t.Errorf("the key of %s is %s, %v", v, v.Key(), err)
			}
			if v.IsDevrelease() && !v.IsPrerelease() {
				t.Errorf("%s is a development release and no pre-release", v)
			}
		}
		for _, v := range versions {
			for _, w := range versions {
				if v.Compare(w) != -w.Compare(v) || (v.Compare(w) == 0) != (v.Key() == w.Key()) {
					t.Errorf("%s and %s: %d and %d", v, w, v.Compare(w), w.Compare(v))
				}
			}
		}
		if len(versions) == 3 {
			slices.SortFunc(versions, Version.Compare)
			if versions[0].Compare(versions[2]) > 0 {
				t.Errorf("the order of %v goes round in a circle", versions)
			}
		}
	})
}

func BenchmarkParseVersion(b *testing.B) {
	for name, s := range map[string]string{"release": "2.31.0", "all": "1!2.0rc1.post3.dev4+cpu", "written": "v1.0-Beta.2"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseVersion(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompareVersions(b *testing.B) {
	for name, pair := range map[string][2]string{
		"last":   {"2.31.0", "2.31.1"},
		"zeros":  {"1.0", "1.0.0"},
		"suffix": {"1.0.post1.dev3", "1.0.post1.dev4"},
	} {
		v, w := mustVersion(b, pair[0]), mustVersion(b, pair[1])
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				v.Compare(w)
			}
		})
	}
}
