package syncer

import (
	"errors"
	"os"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/fetch"
)

// What the engine needs of whoever keeps pages, files and notes.

// Errors that a Shelf gives and that the Engine tells apart with errors.Is.
var (
	ErrHeld     = errors.New("the file is here already")
	ErrBusy     = errors.New("somebody else is bringing this file in")
	ErrFull     = errors.New("the disk is full")
	ErrNotNamed = errors.New("the project's page does not name this file any more")
	ErrCorrupt  = errors.New("the bytes are not those that the index states")

	errPrivate = errors.New("the name is this box's own, so that nobody else is asked for it")
)

// Item is one blob of a project: a distribution or its core metadata.
type Item struct {
	Name     pypi.Name
	Digest   pypi.Digest
	Filename string // of the distribution
	Metadata bool   // the blob is its core metadata
	Pinned   bool   // a selection holds it
	Size     int64  // bytes; pypi.SizeUnknown where the index states none
}

// Catalogue keeps project pages. Its methods may be called concurrently; what
// they changed is durable when they return.
type Catalogue interface {
	// Project reads a page; false where it is not known.
	Project(pypi.Name) (*pypi.Project, bool, error)
	// Visit hands a page as it is at this moment to use: without files, with its
	// Generation, and what gives the files, one after the other, until use returns.
	Visit(name pypi.Name, use func(page *pypi.Project, generation uint64, files pypi.Files) error) (known bool, err error)
	// Sound tells whether a page is known, and whether it has the addresses of its
	// files (see Bulk), or gives the error that reading it would.
	Sound(pypi.Name) (known, addressed bool, err error)
	// File looks for a file on a page, without reading all of it: nil where the
	// page names no file of that digest and name.
	File(name pypi.Name, digest pypi.Digest, filename string) (f *pypi.File, status pypi.Status, known bool, err error)
	// Generation tells a number that grows with each change of a project's page
	// or of what is here of it; false where the project is not known.
	Generation(pypi.Name) (uint64, bool, error)
	// Version grows with each change of anything that is kept here or by the Notes. It
	// never runs ahead of what is read; 0: it cannot be told.
	Version() uint64
	// Serial tells the serial of a project's page; false where it is not known.
	Serial(pypi.Name) (int64, bool, error)
	// PutProject replaces a page, and removes files that it does not name. With it,
	// all or nothing, it replaces the project's note and its lists: see Notes. ErrFull.
	PutProject(page *pypi.Project, note []byte, lists map[string]time.Time) error
	// DeleteProject forgets a project and removes its files. ErrFull.
	DeleteProject(pypi.Name) error
	// Held lists what is here of a project.
	Held(pypi.Name) (map[pypi.Digest]Item, error)
	// Stocked calls yield with each project of which something is here.
	Stocked(yield func(pypi.Name) bool) error
}

// Shelf keeps files. Its methods may be called concurrently.
type Shelf interface {
	// Begin opens the way in for a file, where it stopped. ErrHeld when it is
	// here (now), ErrBusy, ErrFull.
	Begin(Item) (Incoming, error)
	// Open opens a file that is here. An error that is fs.ErrNotExist where it is not.
	Open(pypi.Name, pypi.Digest) (*os.File, Item, error)
	// Pin changes whether a selection holds a file that is here. Durable.
	Pin(name pypi.Name, digest pypi.Digest, pinned bool) error
	// Count tells how many distributions are here.
	Count() (int, error)
	// Waiting calls yield with each file that has arrived in part, and how many
	// bytes of it are here, until it returns false.
	Waiting(yield func(pypi.Digest, int64) bool) error
}

// Incoming is a file on its way in, for one goroutine at a time.
type Incoming interface {
	fetch.Target
	// Follow opens the bytes that have arrived for a reader of its own.
	Follow() (*os.File, error)
	// Commit verifies the bytes and makes them durable and part of the store.
	// ErrCorrupt: they were wrong and are gone. ErrNotNamed, ErrFull. Closes it.
	Commit() error
	// Close keeps what has arrived.
	Close() error
}

// Notes keeps what the engine remembers of each project between runs, and under
// the name "" of itself. Its methods may be called concurrently.
type Notes interface {
	// Note reads a note; nil where there is none, or none that can be read.
	Note(pypi.Name) ([]byte, error)
	// SetNote replaces a note, or with nil removes it, and has the project stand in
	// the lists that are given, under these times, and in no other. One durable
	// step. ErrFull.
	SetNote(name pypi.Name, note []byte, lists map[string]time.Time) error
	// Listed calls yield with each project of a list and its time to the second,
	// in order of the name, until it returns false.
	Listed(list string, yield func(pypi.Name, time.Time) bool) error
}

// Roll keeps the names of all projects of the upstream: two lists, one that is whole
// and one that is coming. What it changed is durable when it returns. Its methods may
// be called concurrently; only one goroutine changes it.
type Roll interface {
	// RollState gives what was noted last; nil for nothing.
	RollState() ([]byte, error)
	// AddRoll adds names to list 0 or 1 and notes state: both, or neither. ErrFull.
	AddRoll(list byte, names []pypi.Name, state []byte) error
	// DropRoll removes a list and notes state.
	DropRoll(list byte, state []byte) error
	// InRoll tells whether a list has a name; sorted, whether its names came in order.
	InRoll(list byte, name pypi.Name, sorted bool) (bool, error)
	// Roll calls yield with each name of a list until it returns false.
	Roll(list byte, yield func(pypi.Name) bool) error
}

// Bulk keeps many pages at once. Its methods may be called concurrently.
type Bulk interface {
	// PutPages replaces pages, in as few writes as possible. errs is nil when all of
	// it is durable; else it holds an error or nil for each. ErrFull.
	PutPages([]*pypi.Project) (errs []error)
	// Roll calls yield with each name of a list of a Roll until it returns false.
	Roll(list byte, yield func(pypi.Name) bool) error
}
