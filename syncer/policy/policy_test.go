package policy_test

import (
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/policy"
)

const (
	digestA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func file(filename, digest string, age time.Duration) *pypi.File {
	f := &pypi.File{Filename: filename, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: digest}}}
	if age >= 0 {
		f.UploadTime = now.Add(-age)
	}
	return f
}

const unknown = time.Duration(-1)

func TestFile(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		about   string
		options policy.Options
		file    *pypi.File
		want    string // a part of the reason; "" where it is given
		until   time.Time
	}{
		{"no rules", policy.Options{}, file("brie-1.0.tar.gz", digestA, 0), "", time.Time{}},
		{"another project", policy.Options{Block: []string{"bree # typosquat"}}, file("brie-1.0.tar.gz", digestA, 0), "", time.Time{}},
		{"the whole project", policy.Options{Block: []string{"Brie # it stinks"}}, file("brie-1.0.tar.gz", digestA, 0), "brie is blocked on this cheeseboard: it stinks", time.Time{}},
		{"one version", policy.Options{Block: []string{"brie==1.0 # mouldy"}}, file("brie-1.0-py3-none-any.whl", digestA, 0), "(brie==1.0): mouldy", time.Time{}},
		{"another version", policy.Options{Block: []string{"brie==1.0 # mouldy"}}, file("brie-1.1-py3-none-any.whl", digestA, 0), "", time.Time{}},
		{"a range", policy.Options{Block: []string{"brie>=1,<2 # mouldy"}}, file("brie-1.9.tar.gz", digestA, 0), "mouldy", time.Time{}},
		{"beyond a range", policy.Options{Block: []string{"brie>=1,<2 # mouldy"}}, file("brie-2.0.tar.gz", digestA, 0), "", time.Time{}},
		{"a pre-release in a range", policy.Options{Block: []string{"brie>=1 # mouldy"}}, file("brie-2.0rc1.tar.gz", digestA, 0), "mouldy", time.Time{}},
		{"the second of two rules", policy.Options{Block: []string{"brie<1 # old", "brie>2 # new"}}, file("brie-3.0.tar.gz", digestA, 0), "new", time.Time{}},
		{"a version that cannot be told, of a project with a rule", policy.Options{Block: []string{"brie==1.0 # mouldy"}}, file("brie-odd.zip", digestA, 0), "mouldy", time.Time{}},
		{"a digest", policy.Options{Block: []string{"sha256:" + digestA + " # a trojan"}}, file("brie-1.0.tar.gz", digestA, 0), "a trojan", time.Time{}},
		{"another digest", policy.Options{Block: []string{"sha256:" + digestB + " # a trojan"}}, file("brie-1.0.tar.gz", digestA, 0), "", time.Time{}},
		{"too young", policy.Options{MinAge: 7 * day}, file("brie-1.0.tar.gz", digestA, day), "held back until 2026-11-28T12:00:00Z", now.Add(6 * day)},
		{"of age to the second", policy.Options{MinAge: 7 * day}, file("brie-1.0.tar.gz", digestA, 7*day), "", time.Time{}},
		{"a second too young", policy.Options{MinAge: 7 * day}, file("brie-1.0.tar.gz", digestA, 7*day-time.Second), "held back", now.Add(time.Second)},
		{"uploaded in the future", policy.Options{MinAge: day}, &pypi.File{Filename: "brie-1.0.tar.gz", UploadTime: now.Add(day)}, "held back", now.Add(2 * day)},
		{"of unknown age", policy.Options{MinAge: day}, file("brie-1.0.tar.gz", digestA, unknown), "does not state when it was uploaded", time.Time{}},
		{"of unknown age, without a cooldown", policy.Options{Block: []string{"edam # no"}}, file("brie-1.0.tar.gz", digestA, unknown), "", time.Time{}},
		{"too young, but allowed", policy.Options{MinAge: day, Allow: []string{"brie==1.0 # mends a hole"}}, file("brie-1.0.tar.gz", digestA, 0), "", time.Time{}},
		{"of unknown age, but allowed", policy.Options{MinAge: day, Allow: []string{"brie"}}, file("brie-1.0.tar.gz", digestA, unknown), "", time.Time{}},
		{"too young, and another version allowed", policy.Options{MinAge: day, Allow: []string{"brie==1.1"}}, file("brie-1.0.tar.gz", digestA, 0), "held back", now.Add(day)},
		{"too young, and of no version that is allowed", policy.Options{MinAge: day, Allow: []string{"brie==1.1"}}, file("brie-odd.zip", digestA, 0), "held back", now.Add(day)},
		{"too young, but allowed by a pattern", policy.Options{MinAge: day, Allow: []string{"Br*"}}, file("brie-1.0.tar.gz", digestA, 0), "", time.Time{}},
		{"too young, and another pattern", policy.Options{MinAge: day, Allow: []string{"brie-*"}}, file("brie-1.0.tar.gz", digestA, 0), "held back", now.Add(day)},
		{"too young, but allowed by a range", policy.Options{MinAge: day, Allow: []string{"brie==1.*"}}, file("brie-1.0.tar.gz", digestA, 0), "", time.Time{}},
		{"blocked and allowed by a pattern", policy.Options{MinAge: day, Block: []string{"brie # no"}, Allow: []string{"b*"}}, file("brie-1.0.tar.gz", digestA, 9*day), ": no", time.Time{}},
		{"blocked and allowed", policy.Options{MinAge: day, Block: []string{"brie # no"}, Allow: []string{"brie"}}, file("brie-1.0.tar.gz", digestA, 9*day), ": no", time.Time{}},
	}
	for _, tt := range tests {
		r, err := policy.New(tt.options)
		if err != nil {
			t.Fatalf("%s: %v", tt.about, err)
		}
		v := r.File("brie", tt.file, now)
		if v.Given() != (tt.want == "") || !strings.Contains(v.Reason, tt.want) || !v.Until.Equal(tt.until) {
			t.Errorf("%s: %+v", tt.about, v)
		}
	}
}

func TestProject(t *testing.T) {
	r, err := policy.New(policy.Options{Block: []string{"Bree # typosquat of brie", "edam<2 # old", "sha256:" + digestA + " # a trojan"}})
	if err != nil {
		t.Fatal(err)
	}
	only, err := policy.New(policy.Options{Block: []string{"bree # typosquat"}})
	if err != nil || !only.Concerns("bree") || only.Concerns("brie") || !r.Concerns("brie") || (*policy.Rules)(nil).Concerns("bree") {
		t.Errorf("what concerns whom: %v", err)
	}
	for name, want := range map[pypi.Name]bool{"bree": true, "edam": false, "brie": false} {
		if reason, is := r.Project(name); is != want || is != strings.Contains(reason, "typosquat") {
			t.Errorf("%s: %t %q", name, is, reason)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, text := range []string{
		"brie", "brie #", "# no", "brie[aged] # extras", "brie @ https://example.org/ # address", `brie; python_version<"3" # marker`,
		"sha256:abc # short", "brie-* # a pattern", "md5:" + digestA + " # not a sha256", "brie>=one # no version",
	} {
		if r, err := policy.New(policy.Options{Block: []string{text}}); err == nil {
			t.Errorf("%q is taken for %+v", text, r)
		}
	}
	if _, err := policy.New(policy.Options{Allow: []string{"sha256:" + digestA}}); err == nil {
		t.Error("a digest is allowed, which no cooldown holds for")
	}
}

// TestMark holds that pages are told apart by the rules that concern them, and by no
// others.
func TestMark(t *testing.T) {
	mark := func(name pypi.Name, o policy.Options) string {
		r, err := policy.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return r.Mark(name)
	}
	day := 24 * time.Hour
	if m := mark("brie", policy.Options{Allow: []string{"brie"}}); m != "" {
		t.Errorf("without rules the mark is %q", m)
	}
	same := [][2]policy.Options{
		{{}, {Block: []string{"edam # no"}}},
		{{MinAge: day}, {MinAge: day, Block: []string{"edam # no"}}},
		{{MinAge: day}, {MinAge: day, Allow: []string{"edam"}}},
	}
	for _, s := range same {
		if mark("brie", s[0]) != mark("brie", s[1]) {
			t.Errorf("%+v and %+v: the page of brie is the same", s[0], s[1])
		}
	}
	marks := map[string]policy.Options{}
	for _, o := range []policy.Options{
		{MinAge: day}, {MinAge: 2 * day}, {MinAge: day, Allow: []string{"brie"}}, {MinAge: day, Allow: []string{"brie==1"}}, {MinAge: day, Allow: []string{"bri*"}},
		{Block: []string{"brie # a"}}, {Block: []string{"brie # b"}}, {Block: []string{"brie==1 # a"}}, {Block: []string{"sha256:" + digestA + " # a"}},
		{Block: []string{"brie==1 # a", "brie==2 # a"}},
	} {
		m := mark("brie", o)
		if other, twice := marks[m]; twice {
			t.Errorf("%+v and %+v have the same mark", o, other)
		}
		marks[m] = o
	}
}

func TestListMark(t *testing.T) {
	mark := func(block ...string) string {
		r, err := policy.New(policy.Options{MinAge: time.Hour, Block: block})
		if err != nil {
			t.Fatal(err)
		}
		return r.ListMark()
	}
	if mark("a # x", "b # y") != mark("b # z", "a # x") || mark("a # x") == mark("b # x") || mark() != "" || mark("a==1 # x") != "" {
		t.Error("the mark of the list does not stand for the projects that are blocked as a whole")
	}
}
