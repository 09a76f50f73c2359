package upstreamtest

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// epoch is the time of every entry in every archive: the first that zip can state.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Wheel describes a wheel (PEP 427) that can be built and installed. Equal
// values build equal bytes.
type Wheel struct {
	Name           string            // as the project spells it: "Whey.Tools"
	Version        string            // PEP 440, as it stands in the metadata
	Tags           string            // compressed tag set (PEP 425); "" means "py3-none-any"
	BuildTag       string            // "" means none
	Summary        string            // "" means a sentence with the name
	Requires       []string          // Requires-Dist, verbatim: `curd[press]>=2; extra == "aged"`
	Extras         []string          // Provides-Extra
	RequiresPython string            // "" means not stated
	Modules        map[string]string // path in the wheel → source; nil means one package with __version__
	Payload        int               // bytes of filler that does not compress, as payload.bin in the package
	Seed           uint64            // varies the filler
}

// Filename is the wheel's name as PEP 427 and 491 give it.
func (w Wheel) Filename() string {
	parts := []string{w.distribution(), escapeVersion(w.Version)}
	if w.BuildTag != "" {
		parts = append(parts, w.BuildTag)
	}
	return strings.Join(append(parts, w.tags()), "-") + ".whl"
}

// Metadata is the METADATA file of the wheel (core metadata 2.1): the bytes that
// an index offers beside the wheel (PEP 658).
func (w Wheel) Metadata() []byte {
	return coreMetadata{
		name: w.Name, version: w.Version, summary: w.Summary,
		requires: w.Requires, extras: w.Extras, requiresPython: w.RequiresPython,
	}.render()
}

// Build makes the bytes of the wheel. It fails for a name that is not a project
// name and for a tag set that has not three parts.
func (w Wheel) Build() ([]byte, error) {
	if err := checkRelease(w.Name, w.Version); err != nil {
		return nil, fmt.Errorf("build wheel: %w", err)
	}
	if strings.Count(w.tags(), "-") != 2 {
		return nil, fmt.Errorf("build wheel %s: tags %q have not three parts", w.Name, w.tags())
	}
	a := newArchive()
	modules := w.modules()
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		a.add(name, []byte(modules[name]), zip.Deflate)
	}
	if w.Payload > 0 {
		a.add(w.distribution()+"/payload.bin", filler(w.Seed, w.Filename(), w.Payload), zip.Store)
	}
	info := w.distribution() + "-" + escapeVersion(w.Version) + ".dist-info/"
	a.add(info+"METADATA", w.Metadata(), zip.Deflate)
	a.add(info+"WHEEL", w.wheelFile(), zip.Deflate)
	out, err := a.finish(info + "RECORD")
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", w.Filename(), err)
	}
	return out, nil
}

func (w Wheel) distribution() string { return escapeName(w.Name) }

func (w Wheel) tags() string {
	if w.Tags == "" {
		return "py3-none-any"
	}
	return w.Tags
}

func (w Wheel) modules() map[string]string {
	if w.Modules != nil {
		return w.Modules
	}
	return map[string]string{w.distribution() + "/__init__.py": initModule(w.Name, w.Version)}
}

// wheelFile renders WHEEL, with the compressed tag set written out.
func (w Wheel) wheelFile() []byte {
	var b bytes.Buffer
	parts := strings.SplitN(w.tags(), "-", 3)
	pure := parts[1] == "none" && parts[2] == "any"
	fmt.Fprintf(&b, "Wheel-Version: 1.0\nGenerator: lyingindex (1.0)\nRoot-Is-Purelib: %t\n", pure)
	for py := range strings.SplitSeq(parts[0], ".") {
		for abi := range strings.SplitSeq(parts[1], ".") {
			for platform := range strings.SplitSeq(parts[2], ".") {
				fmt.Fprintf(&b, "Tag: %s-%s-%s\n", py, abi, platform)
			}
		}
	}
	if w.BuildTag != "" {
		fmt.Fprintf(&b, "Build: %s\n", w.BuildTag)
	}
	return b.Bytes()
}

// archive writes a wheel's zip and keeps its RECORD. The entries carry sizes and
// checksum in front, as Python's zipfile writes them, and no data descriptors.
type archive struct {
	out    bytes.Buffer
	zip    *zip.Writer
	record strings.Builder
	packer *flate.Writer // one for all entries: a new one costs more than they do
	err    error
}

func newArchive() *archive {
	a := new(archive)
	a.zip = zip.NewWriter(&a.out)
	return a
}

// add appends one entry and its line of RECORD; the first error stays.
func (a *archive) add(name string, content []byte, method uint16) {
	sum := sha256.Sum256(content)
	fmt.Fprintf(&a.record, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(content))
	a.write(name, content, method)
}

func (a *archive) write(name string, content []byte, method uint16) {
	if a.err != nil {
		return
	}
	packed := content
	if method == zip.Deflate {
		if packed, a.err = a.deflate(content); a.err != nil {
			return
		}
	}
	header := &zip.FileHeader{
		Name: name, Method: method,
		CRC32:            crc32.ChecksumIEEE(content),
		CompressedSize64: uint64(len(packed)), UncompressedSize64: uint64(len(content)),
	}
	header.SetMode(0o644)
	//lint:ignore SA1019 CreateRaw writes this field and not Modified, which would add an extra field
	header.ModifiedDate = 1<<5 | 1 // 1980-01-01, as epoch
	w, err := a.zip.CreateRaw(header)
	if err == nil {
		_, err = w.Write(packed)
	}
	a.err = err
}

// finish writes RECORD, which names itself without a hash, and closes the zip.
func (a *archive) finish(recordName string) ([]byte, error) {
	a.write(recordName, []byte(a.record.String()+recordName+",,\n"), zip.Deflate)
	if a.err != nil {
		return nil, a.err
	}
	if err := a.zip.Close(); err != nil {
		return nil, err
	}
	return a.out.Bytes(), nil
}

func (a *archive) deflate(content []byte) ([]byte, error) {
	var b bytes.Buffer
	if a.packer == nil {
		w, err := flate.NewWriter(&b, flate.DefaultCompression)
		if err != nil {
			return nil, err
		}
		a.packer = w
	} else {
		a.packer.Reset(&b)
	}
	if _, err := a.packer.Write(content); err != nil {
		return nil, err
	}
	if err := a.packer.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// checkRelease refuses what could not stand in a file name.
func checkRelease(name, version string) error {
	if _, err := pypi.ParseName(name); err != nil {
		return err
	}
	if version == "" || strings.ContainsAny(version, "/\\ \n") {
		return fmt.Errorf("%s: %q is not a version", name, version)
	}
	return nil
}
