package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func parse(t *testing.T, fset *token.FileSet, source string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(fset, "synthetic.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCheckRenames(t *testing.T) {
	fset := token.NewFileSet()
	imported := compiled(t, fset, "os", "syscall", "golang.org/x/sys/unix")
	for name, test := range map[string]struct {
		source string
		want   string // part of the only sentence; nothing means no fault
	}{
		"call":           {`import "os"; func f() error { return os.Rename("a", "b") }`, "os.Rename"},
		"value":          {`import "os"; var move = os.Rename`, "os.Rename"},
		"renamed import": {`import disk "os"; func f() error { return disk.Rename("a", "b") }`, "os.Rename"},
		"dot import":     {`import . "os"; func f() error { return Rename("a", "b") }`, "os.Rename"},
		"method":         {`import "os"; func f(r *os.Root) error { return r.Rename("a", "b") }`, "(*os.Root).Rename"},
		"embedded":       {`import "os"; type s struct{ *os.Root }; func f(x s) error { return x.Rename("a", "b") }`, "(*os.Root).Rename"},
		"syscall":        {`import "syscall"; func f() error { return syscall.Rename("a", "b") }`, "syscall.Rename"},
		"number":         {`import "syscall"; const n = syscall.SYS_RENAME`, "syscall.SYS_RENAME"},
		"unix":           {`import "golang.org/x/sys/unix"; var n = unix.Renameat2`, "unix.Renameat2"},
		"own method":     {`type s struct{}; func (s) Rename(a, b string) {}; func f() { s{}.Rename("a", "b") }`, ""},
		"other use":      {`import "os"; func f() error { return os.Remove("a") }`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := []*ast.File{parse(t, fset, "package synthetic\n"+test.source)}
			faults, err := CheckRenames("storage/synthetic", fset, files, imported)
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if len(faults) > 0 {
					t.Errorf("got %q, want nothing", faults)
				}
				return
			}
			if len(faults) != 1 || !strings.Contains(faults[0], test.want) {
				t.Errorf("got %q, want one sentence about %s", faults, test.want)
			}
			if faults, err := CheckRenames(renamer, fset, files, imported); err != nil || len(faults) > 0 {
				t.Errorf("in %s: got %q, %v", renamer, faults, err)
			}
		})
	}
}

func TestCheckRenamesNeedsTypes(t *testing.T) {
	fset := token.NewFileSet()
	files := []*ast.File{parse(t, fset, `package synthetic; var x int = "text"`)}
	if _, err := CheckRenames("storage/synthetic", fset, files, nil); err == nil {
		t.Error("a file that does not compile passed")
	}
}

func TestCheckInit(t *testing.T) {
	fset := token.NewFileSet()
	file := parse(t, fset, `package synthetic
type s struct{}
func (s) init() {}
func initialise() { init := 1; _ = init }
`)
	if got := CheckInit(fset, file); len(got) != 0 {
		t.Errorf("got %q, want nothing", got)
	}
	file = parse(t, fset, "package synthetic\nfunc init() {}\n")
	if got := CheckInit(fset, file); len(got) != 1 || !strings.Contains(got[0], "synthetic.go:2:1") {
		t.Errorf("got %q, want one sentence about synthetic.go:2:1", got)
	}
}
