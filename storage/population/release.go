package population

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// What a release consists of.
const (
	sdistAndWheel = iota
	onlySdist
	onlyWheel
	platformWheels
)

// maker makes the releases of one project, one after the other.
type maker struct {
	*rand.Rand
	name      pypi.Name
	file      string // the name in file names
	style     int
	pythons   []string // of platformWheels
	platforms []string
	requires  string
	attests   bool // its newer releases have provenance
	size      float64
	time      time.Time
	pause     float64 // mean days between two releases
	version   [3]int
	serial    int64
	parts     int // of a version
}

var pythons = []string{"cp38-cp38", "cp39-cp39", "cp310-cp310", "cp311-cp311", "cp312-cp312", "cp313-cp313", "cp314-cp314"}

var platforms = []string{
	"macosx_10_9_x86_64", "macosx_11_0_arm64", "manylinux_2_17_aarch64.manylinux2014_aarch64",
	"manylinux_2_17_x86_64.manylinux2014_x86_64", "musllinux_1_2_x86_64", "win32", "win_amd64",
}

// Requirements of Python's version, the most usual first.
var requirements = []string{
	">=3.8", ">=3.7", ">=3.9", ">=3.6", ">=3.10", "", "", "", ">=3.11", ">=3.12", ">=3.8,<4.0", ">=3.7,<4.0", ">=3.9,<4.0",
	">=3.10,<4.0", ">=3", ">=3.5", ">=2.7, !=3.0.*, !=3.1.*, !=3.2.*, !=3.3.*", ">=3.6.1", ">=3.7.1,<4.0.0", "~=3.8", ">=3.8,<3.13",
	">=3.10,<3.13", "!=3.0.*,!=3.1.*,!=3.2.*,>=2.7", ">=3.11,<3.13", "==3.*", ">=3.6,<4",
}

var yankReasons = []string{"", "broken", "wrong metadata", "Yanked due to a regression in this release", "pre-release by mistake"}

func newMaker(name pypi.Name, r *rand.Rand) *maker {
	m := &maker{Rand: r, name: name, file: strings.ReplaceAll(string(name), "-", "_")}
	if r.IntN(5) == 0 {
		m.file = string(name) // older tools kept the hyphens of a sdist's name
	}
	switch n := r.IntN(100); {
	case n < 10:
		m.style = onlySdist
	case n < 20:
		m.style = onlyWheel
	case n < 32:
		m.style = platformWheels
		m.pythons = pythons[r.IntN(5):][:2+r.IntN(2)]
		m.platforms = platforms
		if r.IntN(2) == 0 {
			m.platforms = platforms[r.IntN(4):][:3]
		}
	}
	m.requires = requirements[min(r.IntN(len(requirements)), r.IntN(len(requirements)))]
	m.attests = r.IntN(8) == 0
	m.size = math.Exp(9.5 + 1.8*r.NormFloat64())
	m.time = now.AddDate(0, 0, -int(5500*math.Pow(r.Float64(), 2))-30)
	m.pause = 2 + 40*r.ExpFloat64()
	m.version = [3]int{0, r.IntN(2), 0}
	m.serial = 1_000_000 + r.Int64N(30_000_000)
	m.parts = 3 - r.IntN(7)/6
	return m
}

// next moves on to the next release.
func (m *maker) next() string {
	m.time = m.time.Add(time.Duration(m.ExpFloat64() * m.pause * 24 * float64(time.Hour)))
	m.time = m.time.Truncate(time.Microsecond)
	m.serial += 1 + m.Int64N(20_000)
	m.size *= 1 + 0.03*m.NormFloat64() + 0.01
	m.size = min(max(m.size, 600), 5e8)
	switch n := m.IntN(60); {
	case n == 0:
		m.version = [3]int{m.version[0] + 1, 0, 0}
	case n < 14:
		m.version = [3]int{m.version[0], m.version[1] + 1, 0}
	default:
		m.version[2]++
	}
	if m.IntN(12) == 0 {
		m.requires = requirements[min(m.IntN(len(requirements)), m.IntN(len(requirements)))]
	}
	v := fmt.Sprintf("%d.%d", m.version[0], m.version[1])
	if m.parts == 3 || m.version[2] > 0 {
		v += fmt.Sprintf(".%d", m.version[2])
	}
	if m.IntN(25) == 0 {
		v += fmt.Sprintf("%s%d", []string{"a", "b", "rc", ".dev", ".post"}[m.IntN(5)], 1+m.IntN(3))
	}
	return v
}

// release adds a release of at most so many files to a page.
func (m *maker) release(page *pypi.Project, most int) {
	version := m.next()
	if n := len(page.Versions); n > 0 && page.Versions[n-1] == version {
		version += ".post9"
	}
	page.Versions = append(page.Versions, version)
	wheel := strings.ReplaceAll(m.file, "-", "_") + "-" + version + "-"
	var names []string
	switch m.style {
	case sdistAndWheel:
		names = []string{wheel + "py3-none-any.whl", m.file + "-" + version + ".tar.gz"}
	case onlySdist:
		names = []string{m.file + "-" + version + ".tar.gz"}
	case onlyWheel:
		names = []string{wheel + "py3-none-any.whl"}
	case platformWheels:
		for _, python := range m.pythons {
			for _, platform := range m.platforms {
				names = append(names, wheel+python+"-"+platform+".whl")
			}
		}
		names = append(names, m.file+"-"+version+".tar.gz")
	}
	yanked := m.IntN(300) == 0
	for _, name := range names[:min(most, len(names))] {
		page.Files = append(page.Files, m.one(name, version))
		if f := &page.Files[len(page.Files)-1]; yanked {
			f.Yanked = pypi.Yanked{Is: true, Reason: yankReasons[int(m.serial)%len(yankReasons)]}
		}
	}
}

func (m *maker) digest() (d pypi.Digest) {
	for i := 0; i < len(d); i += 8 {
		v := m.Uint64()
		for j := range 8 {
			d[i+j] = byte(v >> (8 * j))
		}
	}
	return d
}

func sha256(d pypi.Digest) pypi.Hashes { return pypi.Hashes{{Algorithm: "sha256", Hex: d.String()}} }

// one makes a file, uploaded a few seconds after the one before.
func (m *maker) one(filename, version string) pypi.File {
	m.time = m.time.Add(time.Duration(300_000+m.Int64N(3_000_000)) * time.Microsecond)
	place := m.digest()
	path := hex.EncodeToString(place[:])
	f := pypi.File{
		Filename:       filename,
		URL:            "https://files.pythonhosted.org/packages/" + path[:2] + "/" + path[2:4] + "/" + path[4:] + "/" + filename,
		Hashes:         sha256(m.digest()),
		RequiresPython: m.requires,
		Size:           int64(m.size * (0.8 + 0.3*m.Float64())),
		UploadTime:     m.time,
	}
	// Wheels have core metadata, but for some of platforms: half of all files.
	if strings.HasSuffix(filename, ".whl") && (m.style != platformWheels || m.IntN(2) == 0) {
		f.CoreMetadata = pypi.CoreMetadata{Available: true, Hashes: sha256(m.digest())}
	}
	if m.attests && m.time.Year() >= 2025 {
		f.Provenance = "https://pypi.org/integrity/" + string(m.name) + "/" + version + "/" + filename + "/provenance"
	}
	return f
}

// ETag is a validator such as PyPI gives with a page: the base64 of an MD5.
func (p *Population) ETag(i, more int) string {
	r := p.chance(i, forTag)
	for range 2 * more {
		_ = r.Uint64()
	}
	sum := binary.BigEndian.AppendUint64(nil, r.Uint64())
	sum = binary.BigEndian.AppendUint64(sum, r.Uint64())
	return `"` + base64.RawStdEncoding.EncodeToString(sum) + `"`
}
