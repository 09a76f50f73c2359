// Package imports checks the shape of the source tree: which package may import
// which, who may rename files, and what lies at the top level. The rules stand
// in this file; the package has no use outside its own test.
package imports

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// module is the prefix of every import path of this repository.
const module = "cheeseboard/"

// vocabulary is the one package that rooms share.
const vocabulary = "storage/pypi"

// Package is the part of `go list -json` that the rules look at. Paths are
// complete import paths.
type Package struct {
	ImportPath   string
	Name         string
	Imports      []string
	TestImports  []string // of files in the package
	XTestImports []string // of files in the package's _test package
}

// mayImport lists, for a folder and all below it, which packages of other
// folders may be imported: exactly these, or with a trailing /... also those
// below. The longest folder that matches counts. A folder's own packages are
// always allowed, except for parents.
var mayImport = map[string][]string{
	"httpd":   {vocabulary},
	"syncer":  {vocabulary},
	"storage": {vocabulary},
	"board":   {},
	"scripts": {},

	"firmware":         {},
	"firmware/config":  {vocabulary, "syncer/budget", "syncer/policy"}, // which read the times of the week, and what is blocked
	"firmware/health":  {},
	"firmware/keyring": {vocabulary},
	"firmware/certs":   {},
	"firmware/confine": {},
	"firmware/app": {
		"httpd/...", "syncer/...", "storage/...", "board/...",
		"firmware/certs", "firmware/config", "firmware/confine", "firmware/health", "firmware/keyring",
		"firmware/machine", "firmware/update",
		"firmware/mdns",
		"firmware/notify",
	},
	"firmware/notify":          {},
	"firmware/mdns":            {},
	"firmware/cmd":             {"firmware/app"},
	"firmware/cmd/cheeseboard": {"firmware/app", "firmware/demo"},
	"firmware/cmd/lyingindex":  {"syncer/upstreamtest"},
	"firmware/cmd/linebench":   {"syncer/upstreamtest"},
	"firmware/cmd/storebench":  {"firmware/app", "storage/..."},
	"firmware/cmd/servebench":  {"storage", vocabulary},
	"firmware/cmd/tripbench":   {"syncer/farline", "syncer/upstreamtest"},
	"firmware/demo":            {"firmware/app", "syncer/upstreamtest"},
	"firmware/guest":           {"firmware/update"}, // a stand-in for boot firmware reads what that writes
	"firmware/card":            {"firmware/update"}, // which makes the bundles
	"firmware/cmd/mkimage":     {"firmware/card", "firmware/update"},
	"firmware/machine":         {},
	"firmware/update":          {"firmware/machine", "storage/durable"},
	"firmware/pid1": {
		"board/clock", "board/stick", "board/watchdog", "storage/durable",
		"firmware/config", "firmware/machine", "firmware/update", "firmware/pid1/...",
	},
	"firmware/pid1/disk":    {},
	"firmware/pid1/network": {"storage/durable"},
	"firmware/pid1/process": {},
	"firmware/pid1/program": {},
	"firmware/pid1/ring":    {"storage/durable"},
	"firmware/pid1/uevent":  {"board/stick"},
	"firmware/cmd/init":     {"firmware/pid1"},
	"firmware/e2e":          {"firmware/app", "firmware/config", "storage/...", "syncer/upstreamtest"},
}

// onlyImporter names, for a path prefix outside this module, the one package
// that may import what begins with it.
var onlyImporter = map[string]string{
	"github.com/dgraph-io/": "storage/meta",
	"go.etcd.io/":           "firmware/cmd/storebench", // a yardstick, no part of the program
}

// vagueNames say nothing about what is inside.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "misc"}

// CheckPackage returns one sentence per import of p that breaks a rule.
func CheckPackage(p Package) []string {
	var faults []string
	from := local(p.ImportPath)
	if slices.Contains(vagueNames, p.Name) || slices.Contains(vagueNames, path.Base(from)) {
		faults = append(faults, fmt.Sprintf("%s: a package must say in its name what it is about", from))
	}
	check := func(imports []string, test bool) {
		for _, imported := range imports {
			if why := forbidden(from, imported, test); why != "" {
				faults = append(faults, fmt.Sprintf("%s%s imports %s: %s", from, inTest(test), imported, why))
			}
		}
	}
	check(p.Imports, false)
	check(p.TestImports, true)
	check(p.XTestImports, true)
	return faults
}

func inTest(test bool) string {
	if test {
		return " (in a test)"
	}
	return ""
}

// forbidden says why the package from must not import a path, or nothing.
func forbidden(from, imported string, test bool) string {
	if !strings.HasPrefix(imported, module) {
		for prefix, only := range onlyImporter {
			if strings.HasPrefix(imported, prefix) && from != only {
				return "only " + only + " may"
			}
		}
		return ""
	}
	to := local(imported)
	switch {
	case to == from: // a _test package and what it tests
		return ""
	case test && within(from, "firmware"): // end-to-end tests see everything
		return ""
	case within(from, to):
		return "children do not import their parents"
	}
	folder := ruleFolder(from)
	if within(to, folder) && ruleFolder(to) == folder {
		return ""
	}
	for _, pattern := range mayImport[folder] {
		if below, all := strings.CutSuffix(pattern, "/..."); to == pattern || all && within(to, below) {
			return ""
		}
	}
	if _, known := mayImport[folder]; !known {
		return folder + " is not a folder that the rules know"
	}
	if len(mayImport[folder]) == 0 {
		return folder + " imports no other part of the program"
	}
	return folder + " may import only " + strings.Join(mayImport[folder], ", ")
}

// ruleFolder is the longest folder with a rule that contains the package, or
// its top-level folder if there is no rule for it.
func ruleFolder(pkg string) string {
	for folder := pkg; folder != "."; folder = path.Dir(folder) {
		if _, ok := mayImport[folder]; ok {
			return folder
		}
	}
	top, _, _ := strings.Cut(pkg, "/")
	return top
}

// within reports whether pkg is folder or lies below it.
func within(pkg, folder string) bool {
	return pkg == folder || strings.HasPrefix(pkg, folder+"/")
}

// local strips the module's name from an import path.
func local(importPath string) string { return strings.TrimPrefix(importPath, module) }

// topLevel is what the repository's root holds, no more and no less. A .git is
// absent from an unpacked archive.
var topLevel = []string{
	".ci", ".gitignore", "LICENSE", "README.md", "board", "firmware", "go.mod",
	"go.sum", "httpd", "scripts", "storage", "syncer",
}

// CheckTopLevel returns one sentence per entry of the root folder that should
// not be there, or is missing. Entries that match a pattern of .gitignore are
// left-overs of a run and do not count.
func CheckTopLevel(entries, ignored []string) []string {
	var faults []string
	for _, entry := range entries {
		if entry == ".git" || slices.Contains(topLevel, entry) || matchesAny(entry, ignored) {
			continue
		}
		faults = append(faults, fmt.Sprintf("top level: %s does not belong there; the folders are fixed", entry))
	}
	for _, entry := range topLevel {
		if !slices.Contains(entries, entry) {
			faults = append(faults, fmt.Sprintf("top level: %s is missing", entry))
		}
	}
	return faults
}

// matchesAny knows as much of .gitignore's syntax as the root folder needs.
func matchesAny(entry string, patterns []string) bool {
	for _, pattern := range patterns {
		if ok, err := path.Match(strings.Trim(pattern, "/"), entry); err == nil && ok {
			return true
		}
	}
	return false
}
