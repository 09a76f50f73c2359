package pypi

import (
	"iter"
	"time"
)

// SizeUnknown is the Size of a file whose index does not state one.
const SizeUnknown int64 = -1

// MaxFileSize is the largest size that a stated size may have: 1 TiB. A larger
// one is a mistake or an attack, and is refused when it is read.
const MaxFileSize int64 = 1 << 40

// File is one distribution (wheel, sdist or older form) as an index lists it.
type File struct {
	Filename       string       // a single path element, checked by CheckFilename
	URL            string       // absolute, http or https, without a fragment
	Hashes         Hashes       // sorted; may be empty
	RequiresPython string       // a version specifier set, verbatim; "" where not stated
	CoreMetadata   CoreMetadata // PEP 658/714: whether FILE.metadata stands beside it
	GPGSig         Tristate     // whether FILE.asc stands beside it
	Yanked         Yanked       // PEP 592
	Size           int64        // bytes; SizeUnknown where not stated
	UploadTime     time.Time    // UTC; zero where not stated (PEP 700)
	Provenance     string       // absolute URL of the attestations (PEP 740); "" for none
	Unknown        Unknown      // what else its page states in JSON; HTML pages have and get none
}

// CoreMetadata says whether a file's metadata can be had apart from it.
type CoreMetadata struct {
	Available bool   // the index offers URL + ".metadata"
	Hashes    Hashes // what it states of those bytes; may be empty although Available
}

// Yanked is the mark of a file that must not be picked by a range (PEP 592).
type Yanked struct {
	Is     bool
	Reason string // may be empty although Is
}

// Tristate is a boolean that an index may leave out.
type Tristate int8

// The values of a Tristate.
const (
	Unstated Tristate = iota
	No
	Yes
)

// The states of a project (PEP 792). A state that is not among them is kept as
// it came and treated as active.
const (
	StatusActive      = "active"
	StatusArchived    = "archived"
	StatusDeprecated  = "deprecated"
	StatusQuarantined = "quarantined" // offers no files
)

// Status is a project's state (PEP 792); the zero value means that none is stated.
type Status struct {
	State  string // one of the Status constants, or what the index said
	Reason string
}

// Project is one project page of a simple index.
type Project struct {
	Name       Name
	Versions   []string // as the index lists them (PEP 700); nil where it does not
	Status     Status
	Tracks     []string // PEP 708: URLs of the projects that this one continues
	Alternates []string // PEP 708: `alternate-locations`
	LastSerial int64    // PyPI's change counter (`_last-serial`); 0 where not stated
	Files      []File
	Unknown    Unknown // what else the page states in JSON
	InMeta     Unknown // and in its `meta`
	// Notes are sentences of whoever offers the page to its readers. They are
	// written, in JSON under the private key `_notes`, and never read or kept.
	Notes []string
}

// Files gives the files of a page one after the other, for pages that are not to
// be in memory as a whole. It ends after the first error, and can be gone through
// again. A file is good until the next one.
type Files = iter.Seq2[*File, error]

// FilesOf gives the files of a project.
func FilesOf(p *Project) Files {
	return func(yield func(*File, error) bool) {
		for i := range p.Files {
			if !yield(&p.Files[i], nil) {
				return
			}
		}
	}
}

// Refusal is one entry of a page that was left out because it is not safe or
// not sound. A page with refusals is usable for all its other entries.
type Refusal struct {
	Filename string // as it came, at most 200 bytes of it
	Reason   string
}

// ListEntry is one project in the root list.
type ListEntry struct {
	Name   Name
	Serial int64 // 0 where not stated
}
