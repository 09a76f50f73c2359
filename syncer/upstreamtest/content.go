package upstreamtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"cheeseboard/storage/pypi"
)

// coreMetadata is what METADATA and PKG-INFO have in common (core metadata 2.1).
type coreMetadata struct {
	name, version, summary string
	requires, extras       []string
	requiresPython         string
}

func (m coreMetadata) render() []byte {
	summary := m.summary
	if summary == "" {
		summary = m.name + ", as good as cheese"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: %s\n", m.name, m.version, summary)
	b.WriteString("Home-page: https://cheese.example/\nAuthor: The Dairy\nLicense: MIT\n")
	if m.requiresPython != "" {
		fmt.Fprintf(&b, "Requires-Python: %s\n", m.requiresPython)
	}
	for _, r := range m.requires {
		fmt.Fprintf(&b, "Requires-Dist: %s\n", r)
	}
	for _, e := range m.extras {
		fmt.Fprintf(&b, "Provides-Extra: %s\n", e)
	}
	fmt.Fprintf(&b, "\n# %s\n\nMade for tests.\n", m.name)
	return b.Bytes()
}

// initModule is the source of a generated package. It runs on Python 2.7 too.
func initModule(name, version string) string {
	return fmt.Sprintf("\"\"\"%s, made for tests.\"\"\"\n\n__version__ = %q\n", name, version)
}

// escapeName is a project name as file names carry it: normal form with underscores.
func escapeName(name string) string {
	n, err := pypi.ParseName(name)
	if err != nil {
		return name // refused by checkRelease before anything is built
	}
	return strings.ReplaceAll(string(n), "-", "_")
}

func escapeVersion(version string) string { return strings.ReplaceAll(version, "-", "_") }

// filler gives size bytes that do not compress, the same for the same seed and label.
func filler(seed uint64, label string, size int) []byte {
	out := make([]byte, size)
	_, _ = source(seed, label).Read(out) // ChaCha8 never fails
	return out
}

func source(seed uint64, label string) *rand.ChaCha8 {
	var key [8]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(sha256.Sum256(append(key[:], label...)))
}
