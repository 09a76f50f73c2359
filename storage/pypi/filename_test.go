package pypi

import (
	"strings"
	"testing"
)

func TestCheckFilename(t *testing.T) {
	for _, s := range []string{"requests-2.31.0-py3-none-any.whl", "a", "Foo bar (1).zip", "naïve-1.tar.gz", strings.Repeat("a", MaxFilenameLength)} {
		if err := CheckFilename(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{
		"", ".", "..", ".hidden", "a/b", `a\b`, "c:d", "a\nb", "a\x00", "a\x7f", "a\u2028b", "\xff", strings.Repeat("a", MaxFilenameLength+1),
	} {
		if CheckFilename(s) == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestParseWheelFilename(t *testing.T) {
	w, err := ParseWheelFilename("Foo_Bar.baz-1.0.RC1+CPU-007b-CP311.py3-abi3.none-Any.whl")
	if err != nil {
		t.Fatal(err)
	}
	if w.Name != "foo-bar-baz" || w.Version.String() != "1.0rc1+cpu" || w.Build != (BuildTag{"7", "b"}) || !w.Sorted || len(w.Tags) != 4 {
		t.Errorf("got %+v", w)
	}
	if w.Tags[0] != (Tag{"cp311", "abi3", "any"}) {
		t.Errorf("the first tag is %s", w.Tags[0])
	}
	wide := strings.Repeat("a.", 16) + "a"
	for _, s := range []string{
		"", ".whl", "foo-1.0-py3-none-any.zip", "foo-1.0-py3-none.whl", "foo-1.0-1-2-py3-none-any.whl", "foo__x-1.0-py3-none-any.whl",
		"foo-x-py3-none-any.whl", "foo-1.0-b1-py3-none-any.whl", "foo-1.0-3py-none-any.whl", "foo-1.0--none-any.whl",
		"../foo-1.0-py3-none-any.whl", "_foo-1.0-py3-none-any.whl", "foo-1.0-" + wide + "-" + wide + "-" + wide + ".whl",
		"foo-1.0-py3-none-any.whl\n", "foo-1.0-py3-none-any\x00.whl", "foo-1.0-py!-none-any.whl",
	} {
		if w, err := ParseWheelFilename(s); err == nil {
			t.Errorf("%q is %.200v", s, w)
		}
	}
}

func TestBuildTagsCompare(t *testing.T) {
	ordered := []BuildTag{{}, {"0", ""}, {"1", ""}, {"1", "a"}, {"2", ""}, {"10", ""}}
	for i, b := range ordered {
		for j, c := range ordered {
			if got := b.Compare(c); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v and %v: %d", b, c, got)
			}
		}
	}
}

func FuzzParseWheelFilename(f *testing.F) {
	for _, s := range []string{
		"requests-2.31.0-py3-none-any.whl",
		"numpy-2.3.0-cp313-cp313t-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
		"pyvirtualcam-0.13.0-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
		"torch-2.1.0+cpu-cp311-cp311-linux_x86_64.whl",
		"six-1.16.0-py2.py3-none-any.whl",
		"cryptography-42.0.5-cp37-abi3-musllinux_1_2_aarch64.whl",
		"foo-1.0-1000a-py3-none-any.whl",
		"pywin32-306-cp312-cp312-win_arm64.whl",
		"zope.interface-6.1-cp38-cp38-macosx_10_9_universal2.whl",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		version, kind, err := DistributionVersion("requests", s)
		if kind == KindWheel != strings.HasSuffix(s, ".whl") || (err == nil) == version.IsZero() {
			t.Errorf("%q is a %s of version %q, %v", s, kind, version, err)
		}
		w, err := ParseWheelFilename(s)
		if err != nil {
			return
		}
		if err := CheckFilename(s); err != nil {
			t.Errorf("it is a wheel: %v", err)
		}
		if version, kind, err := DistributionVersion(w.Name, s); version != w.Version || kind != KindWheel || err != nil {
			t.Errorf("%q is a %s of version %s, %v", s, kind, version, err)
		}
		build := ""
		if w.Build.Number != "" {
			build = w.Build.Number + w.Build.Suffix + "-"
		}
		for _, tag := range w.Tags {
			name := strings.ReplaceAll(string(w.Name), "-", "_")
			one := name + "-" + w.Version.String() + "-" + build + tag.String() + ".whl"
			if len(one) > MaxFilenameLength {
				continue
			}
			again, err := ParseWheelFilename(one)
			if err != nil || again.Name != w.Name || again.Version != w.Version || again.Build != w.Build ||
				len(again.Tags) != 1 || again.Tags[0] != tag {
				t.Errorf("%q has the tag %s, but %q is %+v, %v", s, tag, one, again, err)
			}
		}
	})
}
