package pypi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const sampleMetadata = `Metadata-Version: 2.1
Name: Sample.Project
Version: 1.0-RC.2
Summary: one: two
 Name: folded
requires-python: >=3.8,
	<4
Provides-Extra: dev
Provides-Extra: Test_All
Requires-Dist: requests (>=2.8)
Requires-Dist: colorama; sys_platform == "win32"
Requires-Dist: pytest>=7.*; extra == 'dev'
Requires-Dist: tomli
  ; python_version < "3.11"
License: MIT

Requires-Dist: not-a-field
`

func TestParseCoreMetadata(t *testing.T) {
	for name, data := range map[string]string{
		"unix":    sampleMetadata,
		"windows": strings.ReplaceAll(sampleMetadata, "\n", "\r\n"),
		"mac":     strings.ReplaceAll(sampleMetadata, "\n", "\r"),
		"mark":    "\ufeff" + sampleMetadata,
	} {
		m, err := ParseCoreMetadata([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var requirements []string
		for _, r := range m.RequiresDist {
			requirements = append(requirements, r.String())
		}
		want := []string{"requests>=2.8", `colorama; sys_platform == "win32"`, `tomli; python_version < "3.11"`}
		if m.Name != "sample-project" || m.Version.String() != "1.0rc2" || m.RequiresPython != ">=3.8, <4" ||
			!slices.Equal(requirements, want) || !slices.Equal(m.ProvidesExtra, []string{"dev", "Test_All"}) ||
			!slices.Equal(m.Unparsed, []string{"pytest>=7.*; extra == 'dev'"}) {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

func TestParseCoreMetadataRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"empty":        "",
		"no name":      "Version: 1\n",
		"no version":   "Name: a\n",
		"bad name":     "Name: a b\nVersion: 1\n",
		"bad version":  "Name: a\nVersion: one\n",
		"two names":    "Name: a\nName: b\nVersion: 1\n",
		"two versions": "Name: a\nVersion: 1\nVersion: 1\n",
		"body first":   "\nName: a\nVersion: 1\n",
		"no header":    "<html>\nName: a\nVersion: 1\n",
		"endless":      strings.Repeat("a:\n", maxMetadataLines+1) + "Name: a\nVersion: 1\n",
	} {
		if m, err := ParseCoreMetadata([]byte(data)); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

func TestUnparsedRequirementsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("Name: a\nVersion: 1\n")
	for i := range 3 * maxUnparsed {
		fmt.Fprintf(&b, "Requires-Dist: %d !%s\n", i, strings.Repeat("é", maxUnparsedLength))
	}
	b.WriteString("Requires-Dist: b\n")
	m, err := ParseCoreMetadata([]byte(b.String()))
	if err != nil || len(m.Unparsed) != maxUnparsed || len(m.RequiresDist) != 1 {
		t.Fatalf("%d are not sound, %d are, %v", len(m.Unparsed), len(m.RequiresDist), err)
	}
	for _, s := range m.Unparsed {
		if len(s) > maxUnparsedLength {
			t.Fatalf("%d bytes are kept of one", len(s))
		}
	}
}

func FuzzParseCoreMetadata(f *testing.F) {
	f.Add([]byte(sampleMetadata))
	f.Add([]byte("Name: a\nVersion: 1\n\nbody"))
	f.Add([]byte("Name:a\r\nVersion:1\r\n \r\nRequires-Dist: b[c]\r\n ;extra=='x'"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseCoreMetadata(data)
		if err != nil {
			return
		}
		// What was understood, written anew, must be understood the same.
		var b strings.Builder
		fmt.Fprintf(&b, "Name: %s\nVersion: %s\nRequires-Python: %s\n", m.Name, m.Version, m.RequiresPython)
		for _, r := range m.RequiresDist {
			fmt.Fprintf(&b, "Requires-Dist: %s\n", r)
		}
		again, err := ParseCoreMetadata([]byte(b.String()))
		if err != nil || again.Name != m.Name || again.Version != m.Version ||
			again.RequiresPython != m.RequiresPython || len(again.RequiresDist) != len(m.RequiresDist) {
			t.Errorf("%q is %+v, and written anew %q is %+v, %v", data, m, b.String(), again, err)
		}
	})
}
