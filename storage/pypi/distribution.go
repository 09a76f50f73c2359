package pypi

import (
	"errors"
	"fmt"
	"strings"
)

// DistributionKind says how a file brings a project.
type DistributionKind int8

// The kinds of distribution files.
const (
	KindOther DistributionKind = iota // an older form, or no distribution at all
	KindWheel
	KindSdist
)

func (k DistributionKind) String() string {
	switch k {
	case KindWheel:
		return "wheel"
	case KindSdist:
		return "sdist"
	default:
		return "other"
	}
}

// archiveEndings are those of source distributions. PyPI takes only the first
// two today; pip installs from all of them.
var archiveEndings = []string{
	".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tbz", ".txz", ".tar.Z", ".tar",
}

// legacyForm is a form of binary distribution that pip does not install.
type legacyForm struct {
	ending string
	marks  []string // the version ends where the first one of these begins
}

// platformMarks begin the name of a platform in distutils' file names.
var platformMarks = []string{".win32", ".win-", ".linux-", ".macosx-", ".freebsd-", ".cygwin"}

var legacyForms = []legacyForm{
	{".egg", []string{"-py"}},
	{".exe", platformMarks},
	{".msi", platformMarks},
	{".dmg", platformMarks},
	{".rpm", []string{"-"}}, // then comes the package's own release number
	{".deb", []string{"-", "_"}},
}

// DistributionVersion tells what a file of the project is: its version and
// whether it is a wheel, a source distribution or something else. An error
// means that the file belongs to no version that can be told; the kind is right
// all the same. For the older forms the version is the best guess that their
// names allow.
func DistributionVersion(name Name, filename string) (Version, DistributionKind, error) {
	if strings.HasSuffix(filename, ".whl") {
		w, err := ParseWheelFilename(filename)
		if err == nil && w.Name != name {
			err = fmt.Errorf("parse wheel %.80q: belongs to %s, not to %s", filename, w.Name, name)
		}
		if err != nil {
			return Version{}, KindWheel, err
		}
		return w.Version, KindWheel, nil
	}
	for _, ending := range archiveEndings {
		if stem, ok := strings.CutSuffix(filename, ending); ok {
			return archiveVersion(name, filename, stem)
		}
	}
	for _, form := range legacyForms {
		if stem, ok := strings.CutSuffix(filename, form.ending); ok {
			version, err := versionAfterName(name, stem, form.marks)
			if err != nil {
				return Version{}, KindOther, fmt.Errorf("read version of %.80q: %w", filename, err)
			}
			return version, KindOther, nil
		}
	}
	return Version{}, KindOther, fmt.Errorf("read version of %.80q: not the file name of a distribution", filename)
}

// archiveVersion tells a source distribution from what distutils calls a dumb
// distribution, the same archive with a platform after the version.
func archiveVersion(name Name, filename, stem string) (Version, DistributionKind, error) {
	version, err := versionAfterName(name, stem, nil)
	if err == nil {
		return version, KindSdist, nil
	}
	if dumb, dumbErr := versionAfterName(name, stem, platformMarks); dumbErr == nil {
		return dumb, KindOther, nil
	}
	return Version{}, KindSdist, fmt.Errorf("read version of %.80q: %w", filename, err)
}

// errForeign is that of a file name which does not begin with the project's.
var errForeign = errors.New("does not begin with the name of the project and a hyphen")

// versionAfterName reads the version after the name. As older files have
// hyphens in both, the name ends at the first hyphen that makes it the
// project's, as pip sees it. The version ends before the first of the marks.
func versionAfterName(name Name, stem string, marks []string) (Version, error) {
	for i := range len(stem) {
		if stem[i] != '-' {
			continue
		}
		if n, err := ParseName(stem[:i]); err != nil || n != name {
			continue
		}
		text := stem[i+1:]
		end := len(text)
		for _, mark := range marks {
			if at := strings.Index(text, mark); at >= 0 {
				end = min(end, at)
			}
		}
		return ParseVersion(text[:end])
	}
	return Version{}, errForeign
}
