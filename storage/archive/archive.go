// Package archive reads the core metadata out of a distribution that comes from
// somebody who may wish us ill. What it reads, and unpacks, is bounded by the size
// of the archive; nothing is written. It takes archives as today's build tools
// make them, and refuses what two programs may read differently: an entry that is
// there twice, bytes before the first, a folder that is another project's.
package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"cheeseboard/storage/pypi"
)

const (
	// maxMetadata is the most bytes of core metadata.
	maxMetadata = 4 << 20
	// What is unpacked may have freely bytes, or so many times the archive's: PyPI
	// draws the line there too.
	freely    = 64 << 20
	mostRatio = 50
)

// Fault says why an archive is refused.
type Fault struct{ Reason string }

func (f *Fault) Error() string { return f.Reason }

func fault(format string, a ...any) error { return &Fault{fmt.Sprintf(format, a...)} }

// Metadata are the core metadata of a distribution.
type Metadata struct {
	Raw []byte // METADATA of a wheel, PKG-INFO of a source distribution
	pypi.CoreMetadataFields
}

// Read reads the core metadata of an archive of size bytes whose file name says
// what it is: a wheel, or a source distribution as .tar.gz. They must be of the
// name and the version that the file name has. Errors: *Fault, and those of r.
func Read(r io.ReaderAt, size int64, name pypi.Name, filename string) (Metadata, error) {
	version, kind, err := pypi.DistributionVersion(name, filename)
	if err != nil {
		return Metadata{}, fault("%v", err)
	}
	is := identity{name, version}
	watched := &watched{ReaderAt: r}
	r = watched
	var raw []byte
	switch {
	case kind == pypi.KindWheel:
		raw, err = readWheel(r, size, is)
	case kind == pypi.KindSdist && strings.HasSuffix(filename, ".tar.gz"):
		raw, err = readSdist(r, size, is)
	default:
		err = fault("%s is neither a wheel nor a source distribution (.tar.gz)", filename)
	}
	if err = cmp.Or(watched.err, err); err != nil {
		return Metadata{}, err
	}
	m := Metadata{Raw: raw}
	if m.CoreMetadataFields, err = pypi.ParseCoreMetadata(raw); err != nil {
		return Metadata{}, fault("%v", err)
	}
	if m.Name != name || m.Version.Compare(version) != 0 {
		return Metadata{}, fault("its metadata are those of %s %s, its file name says %s %s", m.Name, m.Version, name, version)
	}
	return m, nil
}

// watched remembers what failed to be read, whatever those who unpack it make of it.
type watched struct {
	io.ReaderAt
	err error
}

func (w *watched) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.ReaderAt.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// identity is the release that an archive has to be of.
type identity struct {
	name    pypi.Name
	version pypi.Version
}

// folder reports whether a folder is called after the release.
func (i identity) folder(s string) bool {
	at := strings.LastIndexByte(s, '-')
	if at < 0 {
		return false
	}
	name, err := pypi.ParseName(s[:at])
	if err != nil || name != i.name {
		return false
	}
	version, err := pypi.ParseVersion(s[at+1:])
	return err == nil && version.Compare(i.version) == 0
}

// checkPath refuses the name of an entry by which a client that unpacks it would
// write elsewhere.
func checkPath(path string) error {
	bad := path == "" || !utf8.ValidString(path) || strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\\\x00")
	for part := range strings.SplitSeq(path, "/") {
		bad = bad || part == ".."
	}
	if bad || len(path) > 1 && path[1] == ':' {
		return fault("the archive has an entry with the unsafe name %.80q", path)
	}
	return nil
}

// tooLarge refuses what grows too much when it is unpacked.
func tooLarge(unpacked, size int64) error {
	if unpacked > max(freely, mostRatio*size) {
		return fault("the archive has %d bytes and would have more than %d unpacked", size, max(freely, mostRatio*size))
	}
	return nil
}
