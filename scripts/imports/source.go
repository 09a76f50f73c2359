package imports

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// renamer is the one package that may rename files: it also syncs them.
const renamer = "storage/durable"

// CheckInit returns one sentence per func init in a file.
func CheckInit(fset *token.FileSet, file *ast.File) []string {
	var faults []string
	for _, decl := range file.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			faults = append(faults, fmt.Sprintf("%s: func init works behind the reader's back; call it from where it is needed", fset.Position(fn.Pos())))
		}
	}
	return faults
}

// CheckRenames type-checks the files of one package and returns one sentence
// per use of a function that renames files, called or not. It needs types
// because `dir.Rename` may be a method of os.Root or of anything else. pkg is
// relative to the module.
func CheckRenames(pkg string, fset *token.FileSet, files []*ast.File, importer types.Importer) ([]string, error) {
	if pkg == renamer {
		return nil, nil
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	var faulty []error
	config := types.Config{
		Importer:    importer,
		FakeImportC: true,
		Error:       func(err error) { faulty = append(faulty, err) },
	}
	if _, err := config.Check(module+pkg, fset, files, &info); err != nil {
		return nil, fmt.Errorf("type-check %s: %w", pkg, errors.Join(faulty...))
	}
	var faults []string
	for ident, object := range info.Uses {
		if renames(object) {
			faults = append(faults, fmt.Sprintf("%s: %s uses %s; only %s renames files, because it also syncs them",
				fset.Position(ident.Pos()), pkg, objectName(object), renamer))
		}
	}
	slices.Sort(faults)
	return faults, nil
}

// renames reports whether an object is a function, a method or a system call
// number that renames files.
func renames(object types.Object) bool {
	if object.Pkg() == nil {
		return false
	}
	switch object.Pkg().Path() {
	case "os":
		return object.Name() == "Rename"
	case "syscall", "golang.org/x/sys/unix":
		return strings.HasPrefix(object.Name(), "Rename") || strings.HasPrefix(object.Name(), "SYS_RENAME")
	}
	return false
}

func objectName(object types.Object) string {
	if fn, ok := object.(*types.Func); ok {
		return fn.FullName()
	}
	return object.Pkg().Path() + "." + object.Name()
}
