package pypi

import (
	"slices"
	"strings"
	"testing"
)

func TestParsePlatform(t *testing.T) {
	for name, want := range map[string]Platform{
		"linux-x86_64":         {OS: "linux", Arch: "x86_64", Glibc: defaultGlibc},
		"linux-arm64-2.31":     {OS: "linux", Arch: "aarch64", Glibc: [2]int{2, 31}},
		"linux-armv6l":         {OS: "linux", Arch: "armv6l", Glibc: defaultGlibc},
		"musllinux-x86_64":     {OS: "linux", Arch: "x86_64", Musl: defaultMusl},
		"musllinux-armv7l-1.1": {OS: "linux", Arch: "armv7l", Musl: [2]int{1, 1}},
		"macos-arm64":          {OS: "macos", Arch: "arm64", MacOS: defaultMacOS},
		"macos-x86_64-10.15":   {OS: "macos", Arch: "x86_64", MacOS: [2]int{10, 15}},
		"windows-amd64":        {OS: "windows", Arch: "amd64"},
		"windows-x86_64":       {OS: "windows", Arch: "amd64"},
	} {
		got, err := ParsePlatform(name)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", name, got, err, want)
			continue
		}
		if again, err := ParsePlatform(got.String()); err != nil || again != want {
			t.Errorf("%s is written as %s, and that is %+v, %v", name, got, again, err)
		}
	}
	for _, name := range []string{
		"", "linux", "linux-", "linux-vax", "bsd-x86_64", "Linux-x86_64", "linux-x86_64-", "linux-x86_64-2", "linux-x86_64-2.x",
		"linux-x86_64-1.2", "linux-x86_64-2.100", "linux-x86_64-2.-1", "linux-x86_64-2.31-1", "linux-x86_64-2.31.1",
		"musllinux-x86_64-2.1", "macos-i386", "macos-arm64-9.1", "windows-amd64-10.0", "windows-armv7l",
	} {
		if got, err := ParsePlatform(name); err == nil {
			t.Errorf("%q is %+v", name, got)
		} else if !strings.Contains(err.Error(), "parse platform") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestTagOrderChoosesTheBestWheel(t *testing.T) {
	for _, test := range []struct {
		platform string
		wheels   []string // the best one first; the ones after the empty one do not run
	}{
		{"linux-x86_64-2.31", []string{
			"a-1-cp311-cp311-linux_x86_64.whl",
			"a-1-cp311-cp311-manylinux_2_28_x86_64.whl",
			"a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
			"a-1-cp311-abi3-manylinux_2_28_x86_64.whl",
			"a-1-cp38-abi3-manylinux1_x86_64.whl",
			"a-1-py3-none-manylinux2014_x86_64.whl",
			"a-1-py2.py3-none-any.whl",
			"a-1-py37-none-any.whl",
			"",
			"a-1-cp311-cp311-manylinux_2_34_x86_64.whl",
			"a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
			"a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
			"a-1-cp311-cp311-manylinux_2_17_aarch64.whl",
			"a-1-cp312-abi3-manylinux_2_17_x86_64.whl",
			"a-1-py2-none-any.whl",
			"a-1-py312-none-any.whl",
			"a-1-pp311-pypy311_pp73-manylinux_2_17_x86_64.whl",
		}},
		{"linux-armv6l", []string{
			"a-1-cp311-cp311-linux_armv6l.whl", "a-1-py3-none-any.whl",
			"", "a-1-cp311-cp311-manylinux_2_17_armv7l.whl", "a-1-cp311-cp311-linux_armv7l.whl",
		}},
		{"windows-x86", []string{
			"a-1-cp311-cp311-win32.whl", "a-1-cp310-abi3-win32.whl", "a-1-py3-none-win32.whl",
			"", "a-1-cp311-cp311-win_amd64.whl",
		}},
		{"macos-arm64-13.2", []string{
			"a-1-cp311-cp311-macosx_13_0_arm64.whl", "a-1-cp311-cp311-macosx_11_0_arm64.whl",
			"a-1-cp311-cp311-macosx_10_9_universal2.whl",
			"", "a-1-cp311-cp311-macosx_10_9_x86_64.whl", "a-1-cp311-cp311-macosx_14_0_arm64.whl",
		}},
	} {
		target, err := NewTarget("3.11.4", testPlatform(t, test.platform))
		if err != nil {
			t.Fatal(err)
		}
		order := NewTagOrder(target)
		last, runs := -1, true
		for _, filename := range test.wheels {
			if filename == "" {
				runs = false
				continue
			}
			w, err := ParseWheelFilename(filename)
			if err != nil {
				t.Fatal(err)
			}
			rank, ok := order.Rank(w.Tags)
			if ok != runs || runs && rank <= last {
				t.Errorf("%s: %s has rank %d, %t after %d", test.platform, filename, rank, ok, last)
			}
			last = rank
		}
	}
}

func TestTagsAreAllDifferent(t *testing.T) {
	for _, name := range []string{"linux-x86_64", "linux-ppc64le", "musllinux-armv6l", "macos-x86_64-11.0", "windows-arm64"} {
		for _, threaded := range []bool{false, true} {
			tags := Tags(Target{Platform: testPlatform(t, name), PyMinor: 14, Threaded: threaded})
			seen := map[Tag]bool{}
			for _, tag := range tags {
				if seen[tag] {
					t.Errorf("%s: %s stands there twice", name, tag)
				}
				seen[tag] = true
			}
			if stable := slices.ContainsFunc(tags, func(t Tag) bool { return t.ABI == "abi3" }); stable == threaded {
				t.Errorf("%s, without the global lock %t: abi3 is %t", name, threaded, stable)
			}
			if last := tags[len(tags)-1]; last != (Tag{"py30", "none", "any"}) {
				t.Errorf("%s: the last tag is %s", name, last)
			}
		}
	}
}

// TestTagOrderIsThatOfTheTags: the rank of a tag is its place in Tags, and nothing else
// has one.
func TestTagOrderIsThatOfTheTags(t *testing.T) {
	for _, name := range []string{"linux-x86_64", "linux-ppc64le", "musllinux-armv6l", "macos-x86_64-11.0", "windows-arm64", "windows-x86"} {
		for _, threaded := range []bool{false, true} {
			for _, minor := range []int{0, 7, 14} {
				target := Target{Platform: testPlatform(t, name), PyMinor: minor, Threaded: threaded}
				order, tags := NewTagOrder(target), Tags(target)
				platform := tags[0].Platform
				for want, tag := range tags {
					if got, ok := order.Rank([]Tag{tag}); !ok || got != want {
						t.Errorf("%s: %s has rank %d, %t, want %d", name, tag, got, ok, want)
					}
				}
				for _, tag := range []Tag{
					{}, {"cp399", "none", "any"}, {tags[0].Interpreter, tags[0].ABI, "any"}, {"cp399", "cp399", platform},
					{"py3", "abi3", platform}, {"py3", "none", platform + "x"}, {"py3", "none", ""},
				} {
					if got, ok := order.Rank([]Tag{tag}); ok {
						t.Errorf("%s: %s, which is none of its tags, has rank %d", name, tag, got)
					}
				}
			}
		}
	}
}

func BenchmarkNewTagOrder(b *testing.B) {
	p, err := ParsePlatform("linux-x86_64")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		NewTagOrder(Target{Platform: p, PyMinor: 13})
	}
}
