package pypi

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// testPlatform reads the name of a platform.
func testPlatform(t testing.TB, name string) Platform {
	t.Helper()
	p, err := ParsePlatform(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testEnvironment(t testing.TB, python, platform string) Environment {
	t.Helper()
	env, err := NewEnvironment(python, testPlatform(t, platform))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestMarkersOfTargets(t *testing.T) {
	for _, test := range []struct {
		marker, python, platform string
		want                     bool
	}{
		{`python_version < "3.11"`, "3.9", "linux-x86_64", true},
		{`python_version < "3.11"`, "3.11", "linux-x86_64", false},
		{`python_version >= "3.10"`, "3.9", "linux-x86_64", false}, // as versions, not as text
		{`python_full_version <= "3.11.0a6"`, "3.11", "linux-x86_64", false},
		{`python_full_version < "3.11.4"`, "3.11.3", "linux-x86_64", true},
		{`python_full_version < "3.13.0rc2"`, "3.13.0rc1", "linux-x86_64", true},
		{`python_full_version == "3.13.0rc1"`, "3.13rc1", "linux-x86_64", true},
		{`sys_platform == "win32" and os_name == "nt"`, "3.12", "windows-amd64", true},
		{`platform_machine == "AMD64"`, "3.12", "windows-amd64", true},
		{`platform_machine == "ARM64"`, "3.12", "windows-arm64", true},
		{`platform_machine == "x86"`, "3.12", "windows-x86", true},
		{`sys_platform == "darwin" and platform_machine == "arm64"`, "3.12", "macos-arm64", true},
		{`platform_system == "Darwin"`, "3.12", "linux-armv6l", false},
		{`platform_machine in "armv6l armv7l"`, "3.11", "linux-armv6l", true},
		{`sys_platform == "linux" and platform_machine == "aarch64"`, "3.11", "musllinux-aarch64", true},
		{`implementation_name == "cpython" and platform_python_implementation != "PyPy"`, "3.8", "linux-i686", true},
		{`platform_release >= "6.0" or platform_version == "x"`, "3.8", "linux-x86_64", false},
	} {
		m, err := ParseMarker(test.marker)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Evaluate(testEnvironment(t, test.python, test.platform), nil)
		if err != nil || got != test.want {
			t.Errorf("%s with Python %s on %s: %t, %v, want %t", m, test.python, test.platform, got, err, test.want)
		}
	}
}

func TestNewEnvironmentRefuses(t *testing.T) {
	for _, python := range []string{"", "3", "2.7", "4.0", "three", "1!3.9", "3.100", "3.x", "3.99999999999999999999"} {
		if env, err := NewEnvironment(python, testPlatform(t, "linux-x86_64")); err == nil {
			t.Errorf("Python %q gives %v", python, env)
		}
	}
	if env, err := NewEnvironment("3.11", Platform{OS: "plan9"}); err == nil {
		t.Errorf("an unknown system gives %v", env)
	}
}

func TestMarkerWithExtras(t *testing.T) {
	env := testEnvironment(t, "3.11", "linux-x86_64")
	for _, test := range []struct {
		marker string
		extras []string
		want   bool
	}{
		{`extra == "Dev_Tools"`, []string{"test", "dev.tools"}, true},
		{`extra == "dev"`, nil, false},
		{`extra == "dev"`, []string{"test"}, false},
		{`extra != "dev"`, nil, true},
		{`extra == "dev" and python_version < "3"`, []string{"dev"}, false},
		{`"DEV" == extra`, []string{"dev"}, true},
	} {
		m, err := ParseMarker(test.marker)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Evaluate(env, test.extras); err != nil || got != test.want {
			t.Errorf("%s with %q: %t, %v, want %t", m, test.extras, got, err, test.want)
		}
	}
}

func TestMarkerOfLockFile(t *testing.T) {
	env := testEnvironment(t, "3.11", "linux-x86_64")
	for marker, want := range map[string]bool{
		`"Dev_Tools" in extras`:                        true,
		`"docs" in extras`:                             false,
		`"docs" not in extras and "ci" in extras`:      false,
		`"test" in dependency_groups`:                  true,
		`"test" == dependency_groups`:                  false,
		`"test" != extras and "x" not in extras`:       true,
		`python_version > "3" and "test" in extras`:    false,
		`"dev-tools" in extras or "nothing" == extras`: true,
	} {
		m, err := ParseMarker(marker)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.EvaluateLock(env, []string{"dev-tools"}, []string{"Test"}); err != nil || got != want {
			t.Errorf("%s: %t, %v, want %t", m, got, err, want)
		}
	}
	for marker, want := range map[string]error{
		`extra == "dev"`:    ErrUndefinedVariable,
		`extras == "dev"`:   ErrUndefinedComparison,
		`"dev" ~= extras`:   ErrUndefinedComparison,
		`os_name === "nt"`:  ErrUndefinedComparison,
		`"a" < "no_such_v"`: ErrUndefinedVariable,
	} {
		m, err := ParseMarker(marker)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.EvaluateLock(env, nil, nil); got || !errors.Is(err, want) {
			t.Errorf("%s: %t, %v, want the error %v", m, got, err, want)
		}
	}
}

// A Python built between two releases says of itself "3.11.0+", which is no
// version of PEP 440.
func TestMarkerOfPythonBetweenReleases(t *testing.T) {
	m, err := ParseMarker(`python_full_version >= "3.11.0"`)
	if err != nil {
		t.Fatal(err)
	}
	env := Environment{"python_full_version": "3.11.0+"}
	if met, err := m.Evaluate(env, nil); !met || err != nil {
		t.Errorf("%s for 3.11.0+: %t, %v", m, met, err)
	}
}

func TestNilMarkerIsMet(t *testing.T) {
	var m *Marker
	met, err := m.Evaluate(nil, nil)
	locked, lockErr := m.EvaluateLock(nil, nil, nil)
	if !met || !locked || err != nil || lockErr != nil || m.String() != "" {
		t.Errorf("no marker: %t, %v; in a lock file %t, %v; text %q", met, err, locked, lockErr, m)
	}
}

func TestPythonStrings(t *testing.T) {
	for literal, want := range map[string]string{
		`plain`:                 "plain",
		`C:\\dir`:               `C:\dir`,
		`C:\dir`:                `C:\dir`, // an escape that Python does not know
		`\x41\101\u00e9\t\'`:    "AAé\t'",
		`\U0001F9C0\7\08`:       "🧀\a\x008",
		"one\\\ntwo\\\r\nthree": "onetwothree",
		`\400`:                  "Ā",
	} {
		got, err := pythonString(literal)
		if err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", literal, got, err, want)
		}
		if again, err := ParseMarker("os_name == " + quotePythonString(got)); err != nil {
			t.Errorf("%q is written as %s: %v", got, quotePythonString(got), err)
		} else if text := again.expression[0].comparison.right.text; text != want {
			t.Errorf("%q is written as %s and read as %q", got, quotePythonString(got), text)
		}
	}
	for _, literal := range []string{
		`\`, `ab\`, `\x4`, `\xzz`, `\u12`, `\ud800`, `\U00110000`, `\N{DASH}`, "a\nb", "a\rb", "\x00", "\\t\x00", `\x+1`,
	} {
		if got, err := pythonString(literal); err == nil {
			t.Errorf("%q is %q", literal, got)
		}
	}
}

func TestParseMarkerIsBounded(t *testing.T) {
	inside := `os_name == "nt"`
	deep := func(n int) string { return strings.Repeat("(", n) + inside + strings.Repeat(")", n) }
	if _, err := ParseMarker(deep(maxMarkerDepth)); err != nil {
		t.Errorf("%d parentheses: %v", maxMarkerDepth, err)
	}
	for name, s := range map[string]string{
		"depth": deep(maxMarkerDepth + 1), "open": strings.Repeat("(", maxRequirementLength),
		"length": inside + strings.Repeat(" ", maxRequirementLength), "text": "os_name == '\xff'",
	} {
		if _, err := ParseMarker(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

var markerSeeds = []string{
	`python_version < "3.8"`,
	`(python_version >= "3.9" and python_version < "4.0") and extra == "dev"`,
	`platform_machine == 'aarch64' or (platform_machine == 'ppc64le' or (sys_platform == 'win32' and os_name == 'nt'))`,
	`os.name == 'posix' and sys.platform == 'linux'`,
	`"linux" not in sys_platform`,
	`((python_version < "3.9"))`,
	`python_implementation === "CPython"`,
	`"Foo_Bar" in extras`,
	`os_name == "C:\\x" and "\x22'" > platform_version`,
	`extra == "a" or extra == "b" and extra != 'c'`,
}

func FuzzParseMarker(f *testing.F) {
	for _, s := range markerSeeds {
		f.Add(s)
	}
	env := testEnvironment(f, "3.11", "linux-aarch64")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMarker(s)
		if err != nil {
			return
		}
		if len(m.String()) > maxRequirementLength {
			t.Skip("escapes made it longer than the limit")
		}
		again, err := ParseMarker(m.String())
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q is %s, and that is %s, %v", s, m, again, err)
		}
		met, err := m.Evaluate(env, nil)
		if err != nil && (met || !errors.Is(err, ErrUndefinedComparison) && !errors.Is(err, ErrUndefinedVariable)) {
			t.Errorf("%s: %t, %v", m, met, err)
		}
		// A marker holds wherever it stands.
		for outer, want := range map[string]bool{
			"(" + m.String() + `) and os_name == "posix"`: met,
			`os_name == "nt" or (` + m.String() + ")":     met,
			`os_name == "posix" or ` + m.String():         true,
		} {
			wider, parseErr := ParseMarker(outer)
			if parseErr != nil {
				continue // one pair of parentheses too many, or too long
			}
			if got, gotErr := wider.Evaluate(env, nil); err == nil && (gotErr != nil || got != want) {
				t.Errorf("%s: %t, %v; want %t", wider, got, gotErr, want)
			}
		}
	})
}
