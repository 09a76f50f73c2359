package keyring

import (
	"strings"
	"testing"
	"time"
)

func TestRing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var r Ring
	all, first, err := r.Add(" build server ", Upload, nil, now)
	if err != nil || first.Name != "build server" || !strings.HasPrefix(all, prefix) || len(all) < len(prefix)+26 {
		t.Fatalf("%q, %+v, %v", all, first, err)
	}
	some, _, err := r.Add("web team", Upload, []string{"Acme_Web*", "acme"}, now)
	if err != nil {
		t.Fatal(err)
	}
	reader, _, err := r.Add("laptops", Read, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{all, some, reader} {
		if strings.Contains(string(raw), secret[len(prefix):]) {
			t.Error("a secret is written down")
		}
	}
	if r, err = Parse(raw); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		secret string
		found  bool
		acme   bool
		other  bool
	}{
		{all, true, true, true},
		{some, true, true, false},
		{reader, true, false, false},
		{"", false, false, false},
		{prefix, false, false, false},
		{all + "x", false, false, false},
		{all[:len(all)-1], false, false, false},
		{first.Hash, false, false, false},
	} {
		got, found := r.Find(c.secret)
		if found != c.found || got.May("acme-web-x") != c.acme || got.May("other") != c.other {
			t.Errorf("%.20q: %v, %+v", c.secret, found, got)
		}
	}
	if _, err := r.Remove("nobody"); err == nil {
		t.Error("what is not there is removed")
	}
	if _, err := r.Remove("web team"); err != nil {
		t.Error(err)
	}
	if _, err := r.Remove(first.ID); err != nil {
		t.Error(err)
	}
	if _, found := r.Find(all); found || len(r.Tokens) != 1 {
		t.Error("a removed token is good")
	}
}

func TestRingRefuses(t *testing.T) {
	var r Ring
	for _, c := range []struct {
		name  string
		scope Scope
		names []string
	}{
		{"", Upload, nil}, {"a\nb", Upload, nil}, {strings.Repeat("x", 101), Upload, nil},
		{"x", "admin", nil}, {"x", Upload, []string{"*"}}, {"x", Read, []string{"acme"}},
	} {
		if _, _, err := r.Add(c.name, c.scope, c.names, time.Time{}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	for range most {
		if _, _, err := r.Add("x", Read, nil, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.Add("x", Read, nil, time.Time{}); err == nil {
		t.Error("there is no end of tokens")
	}
	if _, err := r.Remove("x"); err == nil {
		t.Error("one of many of the same name is removed")
	}
	if _, err := Parse([]byte("{")); err == nil {
		t.Error("what cannot be read is an empty ring")
	}
}
