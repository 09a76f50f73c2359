package upstreamtest

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/textproto"
	"path"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// Facts are what an index knows of a file besides its bytes. A zero field is
// worked out: metadata and Requires-Python of a wheel are read from the wheel,
// the upload time comes from the index's own clock.
type Facts struct {
	Metadata       []byte // offered as FILE.metadata (PEP 658)
	HideMetadata   bool   // offer no FILE.metadata although the file is a wheel
	RequiresPython string
	UploadTime     time.Time
	Provenance     string // absolute URL (PEP 740)
	Yanked         bool
	YankReason     string
}

// file is one file of a project as it stands on the pages. It never changes; a
// yank makes another one with the same bytes.
type file struct {
	filename       string
	version        string
	content        []byte
	bulk           body   // instead of content, where that would be too much to hold
	metadata       []byte // nil where none is offered
	sha256         string
	metadataSHA256 string
	etag           string
	size           int64 // as stated; the truth unless a lie was told
	path           string
	url            string // overrides base + path; for lies only
	requiresPython string
	uploaded       time.Time
	provenance     string
	yanked         bool
	yankReason     string
}

// newFile works out what the facts leave open. now is the upload time to use
// where they state none.
func newFile(filename string, content []byte, facts Facts, now time.Time) (*file, error) {
	if err := pypi.CheckFilename(filename); err != nil {
		return nil, err
	}
	version, err := versionOf(filename)
	if err != nil {
		return nil, err
	}
	f := &file{
		filename: filename, version: version, content: content, size: int64(len(content)),
		sha256: hexSum(content), etag: etag(content), metadata: facts.Metadata, requiresPython: facts.RequiresPython,
		uploaded: facts.UploadTime.UTC(), provenance: facts.Provenance,
		yanked: facts.Yanked, yankReason: facts.YankReason,
	}
	if f.metadata == nil && strings.HasSuffix(filename, ".whl") {
		if f.metadata, err = metadataOf(content); err != nil {
			return nil, fmt.Errorf("read %s: %w", filename, err)
		}
	}
	if f.requiresPython == "" && f.metadata != nil {
		f.requiresPython = headerOf(f.metadata, "Requires-Python")
	}
	if facts.HideMetadata {
		f.metadata = nil
	}
	if f.metadata != nil {
		f.metadataSHA256 = hexSum(f.metadata)
	}
	if f.uploaded.IsZero() {
		f.uploaded = now
	}
	f.path = packagePath(filename, f.sha256)
	return f, nil
}

// open gives the bytes of the file.
func (f *file) open() body {
	if f.bulk != nil {
		return f.bulk
	}
	return bytes.NewReader(f.content)
}

// etag is a strong validator in the form that PyPI's file host uses: a quoted MD5.
func etag(content []byte) string {
	sum := md5.Sum(content)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func hexSum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// packagePath looks like PyPI's paths (2, 2 and 60 digits of a BLAKE2b), which
// nobody may take apart; here the digits are those of a salted SHA-256.
func packagePath(filename, sha256 string) string {
	sum := hexSum([]byte("path\x00" + filename + "\x00" + sha256))
	return "/packages/" + sum[:2] + "/" + sum[2:4] + "/" + sum[4:] + "/" + filename
}

// versionOf reads the version that a file name states.
func versionOf(filename string) (string, error) {
	if stem, ok := strings.CutSuffix(filename, ".whl"); ok {
		if parts := strings.Split(stem, "-"); len(parts) == 5 || len(parts) == 6 {
			return parts[1], nil
		}
		return "", fmt.Errorf("read version of %q: not a wheel's name", filename)
	}
	for _, suffix := range []string{".tar.gz", ".zip"} {
		if stem, ok := strings.CutSuffix(filename, suffix); ok {
			if i := strings.LastIndexByte(stem, '-'); i > 0 && i+1 < len(stem) {
				return stem[i+1:], nil
			}
		}
	}
	return "", fmt.Errorf("read version of %q: neither wheel nor sdist", filename)
}

// metadataOf takes METADATA out of a wheel.
func metadataOf(wheel []byte) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return nil, fmt.Errorf("open wheel: %w", err)
	}
	for _, entry := range z.File {
		dir, base := path.Split(entry.Name)
		if base != "METADATA" || !strings.HasSuffix(dir, ".dist-info/") || strings.Count(dir, "/") != 1 {
			continue
		}
		r, err := entry.Open()
		if err != nil {
			return nil, fmt.Errorf("open METADATA: %w", err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("read METADATA: %w", err)
		}
		return content, nil
	}
	return nil, fmt.Errorf("open wheel: it has no METADATA")
}

// headerOf reads one header of a metadata file; "" where it is not there.
func headerOf(metadata []byte, key string) string {
	header, _, _ := strings.Cut(string(metadata), "\n\n")
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(header + "\n\n")))
	h, err := r.ReadMIMEHeader()
	if err != nil {
		return ""
	}
	return h.Get(key)
}
