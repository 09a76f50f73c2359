package storage

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFormatNamesItsTests holds that each line of "What the disk may do to us"
// names tests, and that these exist.
func TestFormatNamesItsTests(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			exists[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "## What the disk may do to us")
	if !found {
		t.Fatal("there is no list of what the disk may do")
	}
	named := regexp.MustCompile("`(Test\\w+)`")
	lines := 0
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "- ") {
			continue
		}
		lines++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test proves %q", strings.TrimSpace(line))
		}
		for _, m := range tests {
			if !exists[m[1]] {
				t.Errorf("there is no %s", m[1])
			}
		}
	}
	if lines < 20 {
		t.Errorf("only %d lines were found", lines)
	}
}
