package config

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// Whatever parses is rendered to a file that parses to the same; whatever does
// not is reported in lines that no input can break.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "\ufeff# comment\r\n", string(Render(Default())),
		"sync = {interval = \"6h\", python = [\"3.12\",]}", "serve.listen = '[::1]:80'",
		"[sync]\nprojects = [\"numpy>=2,<3\", \"uvicorn[standard]\"]\nlatest = 0x1F\nremoval-guard = 1e-3",
		"data = \"\"\"a\\\n  b\"\"\"", "[[sync]]", "[sync.interval]", "a.b.\"c\\n\" = 1", "sync = [1, {a = 2}, [3]]", "data = \"C:\\Users\"",
		"storage.reserve = 1_000", "storage.reserve = \"0.5KiB\"", "pull.fresh = \"1.5ns\"", "\xff\xfe", "log.level = 1979-05-27T07:32:00Z",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err == nil {
			again, err := Parse("rendered", Render(c))
			if err != nil {
				t.Fatalf("the rendered file is refused: %v", err)
			}
			if diff := cmp.Diff(c, again); diff != "" {
				t.Fatalf("the rendered file says something else:\n%s", diff)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("not a list of problems: %v", err)
		}
		lines := 1 + strings.Count(string(data), "\n")
		for _, p := range problems {
			message := p.Error()
			if !isPlain(message) || len(message) > 2000 {
				t.Errorf("a message that is not one plain line: %q", message)
			}
			if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Column > utf8.RuneCount(data)+1 {
				t.Errorf("a place outside the document: %s", message)
			}
		}
	})
}
