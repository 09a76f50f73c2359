package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the repository, seen from this package's folder.
const root = "../.."

// listed is what go list tells about a package, and where it keeps its types.
type listed struct {
	Package
	Dir     string
	GoFiles []string
	Export  string
	Error   *struct{ Err string }
}

// goList asks for packages of the repository.
func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Name,Dir,GoFiles,Export,Imports,TestImports,XTestImports,Error"}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.Bytes())
	}
	var packages []listed
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list %v: %v", args, err)
		}
		packages = append(packages, p)
	}
}

// compiled returns an importer for everything that the given packages import,
// from the export data that the go command keeps in its cache.
func compiled(t *testing.T, fset *token.FileSet, patterns ...string) types.Importer {
	t.Helper()
	exports := map[string]string{}
	for _, p := range goList(t, append([]string{"-export", "-deps"}, patterns...)...) {
		exports[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s does not compile", path)
		}
		return os.Open(exports[path])
	})
}

func TestImportDirections(t *testing.T) {
	packages := goList(t, "./...")
	if len(packages) == 0 {
		t.Fatal("go list found no packages")
	}
	for _, p := range packages {
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		for _, fault := range CheckPackage(p.Package) {
			t.Error(fault)
		}
	}
}

func TestOnlyDurableRenames(t *testing.T) {
	fset := token.NewFileSet()
	imported := compiled(t, fset, "./...")
	for _, p := range goList(t, "./...") {
		var files []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		faults, err := CheckRenames(local(p.ImportPath), fset, files, imported)
		if err != nil {
			t.Error(err)
		}
		for _, fault := range faults {
			t.Error(fault)
		}
	}
}

// TestEveryFile walks the tree itself: a build tag hides no file from it, and
// the go command, which remembers what a test has opened, runs the tests of
// this package again when a file was added or changed.
func TestEveryFile(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", "dist", "cheeseboard-data", "testdata"}, entry.Name()) {
				return filepath.SkipDir
			}
			if slices.Contains(vagueNames, entry.Name()) {
				t.Errorf("%s: a folder must say in its name what it is about", path)
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		seen++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, fault := range CheckInit(fset, file) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("found no Go files")
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range CheckTopLevel(names, strings.Split(string(ignored), "\n")) {
		t.Error(fault)
	}
}
