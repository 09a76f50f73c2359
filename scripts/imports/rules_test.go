package imports

import (
	"strings"
	"testing"
)

func TestCheckPackage(t *testing.T) {
	tests := []struct {
		from    string
		imports []string // of the package itself
		tests   []string // of its tests
		faults  int
	}{
		// What the design allows.
		{from: "httpd/simple", imports: []string{"fmt", "cheeseboard/storage/pypi", "cheeseboard/httpd/negotiate"}},
		{from: "httpd", imports: []string{"cheeseboard/httpd/simple"}},
		{from: "storage/meta", imports: []string{"github.com/dgraph-io/badger/v4", "github.com/dgraph-io/ristretto/v2/z"}},
		{from: "storage/blob", imports: []string{"cheeseboard/storage/durable"}, tests: []string{"cheeseboard/storage/blob"}},
		{from: "firmware/app", imports: []string{"cheeseboard/httpd", "cheeseboard/syncer/fetch", "cheeseboard/board/led", "cheeseboard/firmware/config", "cheeseboard/firmware/health"}},
		{from: "firmware/cmd/cheeseboard", imports: []string{"cheeseboard/firmware/app", "cheeseboard/firmware/demo"}},
		{from: "firmware/cmd/lyingindex", imports: []string{"cheeseboard/syncer/upstreamtest"}},
		{from: "firmware/demo", imports: []string{"cheeseboard/firmware/app", "cheeseboard/syncer/upstreamtest"}},
		{from: "firmware/config", tests: []string{"cheeseboard/syncer", "cheeseboard/firmware/app"}},

		// Across rooms.
		{from: "httpd", imports: []string{"cheeseboard/storage"}, faults: 1},
		{from: "httpd/simple", imports: []string{"cheeseboard/storage/meta", "cheeseboard/syncer/link"}, faults: 2},
		{from: "syncer/plan", imports: []string{"cheeseboard/storage/blob"}, faults: 1},
		{from: "storage", imports: []string{"cheeseboard/syncer"}, faults: 1},
		{from: "storage", imports: []string{"cheeseboard/storage/pypifoo", "cheeseboard/httpdfoo"}, faults: 1},
		{from: "board/led", imports: []string{"cheeseboard/storage/pypi"}, faults: 1},
		{from: "syncer/fetch", imports: []string{"cheeseboard/board"}, faults: 1},
		{from: "httpd/files", tests: []string{"cheeseboard/storage/blob"}, faults: 1},

		// Upwards.
		{from: "storage/blob", imports: []string{"cheeseboard/storage"}, faults: 1},
		{from: "storage/blob/partial", imports: []string{"cheeseboard/storage/blob"}, faults: 1},
		{from: "syncer/fetch", tests: []string{"cheeseboard/syncer"}, faults: 1},
		{from: "storage", imports: []string{"cheeseboard/firmware/config"}, faults: 1},

		// Below firmware.
		{from: "firmware/cmd/cheeseboard", imports: []string{"cheeseboard/storage"}, faults: 1},
		{from: "firmware/cmd/other", imports: []string{"cheeseboard/firmware/demo"}, faults: 1},
		{from: "firmware/cmd/lyingindex", imports: []string{"cheeseboard/firmware/app"}, faults: 1},
		{from: "firmware/app", imports: []string{"cheeseboard/firmware/cmd/cheeseboard"}, faults: 1},
		{from: "firmware/app", imports: []string{"cheeseboard/firmware/demo"}, faults: 1},
		{from: "firmware/config", imports: []string{"cheeseboard/firmware/health"}, faults: 1},
		{from: "firmware/demo", imports: []string{"cheeseboard/syncer"}, faults: 1},

		// Dependencies that have one owner, also in tests, also below firmware.
		{from: "storage/verify", imports: []string{"github.com/dgraph-io/badger/v4"}, faults: 1},
		{from: "firmware/app", tests: []string{"github.com/dgraph-io/badger/v4"}, faults: 1},

		// Scripts are apart, in both directions.
		{from: "scripts/mend", imports: []string{"cheeseboard/storage/durable"}, faults: 1},
		{from: "firmware/app", imports: []string{"cheeseboard/scripts/mend"}, faults: 1},

		// Names.
		{from: "storage/util", faults: 1},
		{from: "elsewhere", imports: []string{"cheeseboard/storage/pypi"}, faults: 1},
	}
	for _, test := range tests {
		p := Package{ImportPath: module + test.from, Imports: test.imports, XTestImports: test.tests}
		if got := CheckPackage(p); len(got) != test.faults {
			t.Errorf("%s importing %q, in tests %q: %d faults, want %d\n%s",
				test.from, test.imports, test.tests, len(got), test.faults, strings.Join(got, "\n"))
		}
	}
}

func TestCheckPackageName(t *testing.T) {
	if got := CheckPackage(Package{ImportPath: module + "storage/paths", Name: "helpers"}); len(got) != 1 {
		t.Errorf("a package named helpers gave %q", got)
	}
}

func TestCheckTopLevel(t *testing.T) {
	ignored := []string{"# comment", "", "/dist/", "*.out"}
	for name, test := range map[string]struct {
		change func([]string) []string
		want   string
	}{
		"as it should be":   {func(e []string) []string { return e }, ""},
		"ignored left-over": {func(e []string) []string { return append(e, "dist", "cpu.out", ".git") }, ""},
		"a new folder":      {func(e []string) []string { return append(e, "docs") }, "docs does not belong"},
		"something missing": {func(e []string) []string { return e[1:] }, topLevel[0] + " is missing"},
	} {
		got := strings.Join(CheckTopLevel(test.change(append([]string(nil), topLevel...)), ignored), "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
