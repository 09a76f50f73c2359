package pypi

import "testing"

func TestNamePattern(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []Name
	}{
		{"acme", []Name{"acme"}, []Name{"acme-x", "acm", "xacme", ""}},
		{"Acme_*", []Name{"acme-", "acme-x", "acme-x-y"}, []Name{"acme", "acmex", "other-acme-x"}},
		{"acme*", []Name{"acme", "acmex", "acme-x"}, []Name{"acm"}},
		{"a*-internal", []Name{"a-internal", "acme-internal", "a-internal-internal"}, []Name{"internal", "acme-internal-x", "ainternal"}},
		{"a*b*c", []Name{"abc", "axbxc", "abbc", "abcbc"}, []Name{"acb", "ab", "abcx"}},
		{"a*a", []Name{"aa", "aba"}, []Name{"a", "ab"}},
		{"a**b", []Name{"ab", "axb"}, []Name{"a"}},
	} {
		p, err := ParseNamePattern(c.pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, n := range c.yes {
			if !p.Match(n) {
				t.Errorf("%s does not match %s", c.pattern, n)
			}
		}
		for _, n := range c.no {
			if p.Match(n) {
				t.Errorf("%s matches %s", c.pattern, n)
			}
		}
	}
	for _, bad := range []string{"", "*", "**", "*-acme", "-acme*", "ac me", "acme/*", "acme*\n", "ä*", "_*", "0star0x", "acme-"} {
		if p, err := ParseNamePattern(bad); err == nil {
			t.Errorf("%q is taken, as %q", bad, p)
		}
	}
}

// Whatever is taken matches itself with nothing, or something, in place of its stars.
func FuzzNamePattern(f *testing.F) {
	f.Add("acme-*", "x")
	f.Add("a*b*c", "bb")
	f.Fuzz(func(t *testing.T, pattern, filling string) {
		p, err := ParseNamePattern(pattern)
		if err != nil {
			return
		}
		again, err := ParseNamePattern(string(p))
		if err != nil || again != p {
			t.Fatalf("%q became %q, and that %q (%v)", pattern, p, again, err)
		}
		name := ""
		for _, c := range string(p) {
			if c == '*' {
				name += filling
			} else {
				name += string(c)
			}
		}
		if !p.Match(Name(name)) {
			t.Fatalf("%q does not match %q", p, name)
		}
	})
}
