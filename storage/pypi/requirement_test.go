package pypi

import (
	"reflect"
	"slices"
	"testing"
)

func TestParseRequirement(t *testing.T) {
	r, err := ParseRequirement(`Zope.Interface [Test, docs,Test] (>=5.0, <6) ; python_version<'3.12'`)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "zope-interface" || r.RawName != "Zope.Interface" || r.URL != "" ||
		!slices.Equal(r.Extras, []string{"Test", "docs"}) || r.Specifiers.String() != "<6,>=5.0" {
		t.Errorf("got %+v", r)
	}
	if want := `Zope.Interface[Test,docs]<6,>=5.0; python_version < "3.12"`; r.String() != want {
		t.Errorf("got %s, want %s", r, want)
	}
}

func TestRequirementWithURL(t *testing.T) {
	r, err := ParseRequirement(`pip@https://example.com/pip.zip#sha256=ab;c ; extra == 'x'`)
	if err != nil {
		t.Fatal(err)
	}
	if r.URL != "https://example.com/pip.zip#sha256=ab;c" || r.Marker.String() != `extra == "x"` {
		t.Errorf("URL %q, marker %s", r.URL, r.Marker)
	}
	if want := `pip @ https://example.com/pip.zip#sha256=ab;c ; extra == "x"`; r.String() != want {
		t.Errorf("got %s, want %s", r, want)
	}
}

func TestParseRequirementRefuses(t *testing.T) {
	for _, s := range []string{
		"", " ", "-r requirements.txt", ".hidden", "name-", "name_", "na me", "name;", "name[", "name[a b]", "name[,]",
		"name[a,]", "name[a-]", "name[a.]", "name()x", "name(>=1", "name>=1)", "name>=1<2", "name>=", "name>=1.*", "name~=1", "name @", "name@ ",
		"name @ url x", "name; os_name", "name; os_name = 'nt'", "name; x == 'nt'", "name\n", "naïve", "name>=1 \r\n",
		"name; os_name == 'nt' and", "name; (os_name == 'nt'", "name ; \xff", "name>=1.0+local", "name===x y",
	} {
		if r, err := ParseRequirement(s); err == nil {
			t.Errorf("%q is %+v", s, r)
		}
	}
}

func TestRequirementWanted(t *testing.T) {
	env := testEnvironment(t, "3.11", "linux-x86_64")
	for s, want := range map[string]bool{
		"name": true, "name; os_name == 'posix'": true, "name; os_name == 'nt'": false,
		"name; extra == 'x'": true, "name; extra == 'y'": false,
		"name; os_name ~= 'word'": true, // cannot be evaluated
	} {
		r, err := ParseRequirement(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Wanted(env, []string{"x"}); got != want {
			t.Errorf("%s: %t, want %t", s, got, want)
		}
	}
}

func FuzzParseRequirement(f *testing.F) {
	for _, s := range []string{
		"requests", "requests[socks]>=2.8.1,==2.8.*", "zope.interface (>=5.0,<6)", "pip @ https://example.com/pip.zip",
		"pip@file:///a;b ; os_name == 'nt'", "ruamel.yaml.clib>=0.2.7;platform_python_implementation=='CPython'",
		"backports.zoneinfo ; python_version < '3.9'", "foo===1.0-custom", "name [ a , B.c ] ( >1 , ) ; extra == 'X_y'",
		"importlib-metadata (<5,>=1.1.0) ; python_version < \"3.8\"", "Foo_Bar[]", "a==1+b",
	} {
		f.Add(s)
	}
	for _, s := range markerSeeds {
		f.Add("a;" + s)
	}
	env := testEnvironment(f, "3.11", "linux-aarch64")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRequirement(s)
		if err != nil {
			return
		}
		if name, err := ParseName(r.RawName); err != nil || name != r.Name {
			t.Errorf("%q: the name of %q is %q, %v", s, r.RawName, r.Name, err)
		}
		if r.URL != "" && !r.Specifiers.IsEmpty() {
			t.Errorf("%q has a URL and specifiers: %+v", s, r)
		}
		if len(r.String()) > maxRequirementLength {
			t.Skip("escapes made it longer than the limit")
		}
		again, err := ParseRequirement(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q is %#v, and its text %q is %#v, %v", s, r, r, again, err)
		}
		if r.Wanted(env, nil) != again.Wanted(env, nil) {
			t.Errorf("%q is wanted or not by the way it is written", s)
		}
	})
}
