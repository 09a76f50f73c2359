package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"cheeseboard/storage/pypi"
)

// A private project has no upstream: its page is made of what was uploaded here.
// Nothing changes it but an upload and whoever administers the box (withdraw.go), and
// its files are pinned.

// ErrPrivate: the project is private, so that no upstream has a say in it.
var ErrPrivate = errors.New("the project is private")

// TakenError says that a file name stands for other bytes, for good.
type TakenError struct {
	Filename string      // that is taken
	Digest   pypi.Digest // of the bytes that have it
	Deleted  bool        // they are not here any more
}

func (e *TakenError) Error() string {
	if e.Deleted {
		return fmt.Sprintf("the file %s was deleted here and had the sha256 %s; a file name never stands for other bytes", e.Filename, e.Digest)
	}
	return fmt.Sprintf("file already exists: %s is here with the sha256 %s, and what was uploaded never changes", e.Filename, e.Digest)
}

// Upload is one distribution for a private project.
type Upload struct {
	Name pypi.Name
	// File is its entry on the page. Hashes and Size are those of Content, Hashes
	// have a SHA-256; of CoreMetadata nothing is set.
	File pypi.File
	// Content is read from its beginning, more than once.
	Content io.ReaderAt
	// Metadata is the core metadata to be offered beside it (PEP 658); nil: none.
	Metadata []byte
}

// privates knows which projects are private.
type privates struct {
	putting sync.Mutex // held while a page is made anew

	mu    sync.RWMutex
	names map[pypi.Name]bool
}

func (s *Store) loadOwn() error {
	names := make(map[pypi.Name]bool)
	err := s.meta.Own(func(n pypi.Name) bool { names[n] = true; return true })
	s.own.mu.Lock()
	defer s.own.mu.Unlock()
	s.own.names = names
	return err
}

// Private tells whether a project is private. It is quick.
func (s *Store) Private(name pypi.Name) bool {
	s.own.mu.RLock()
	defer s.own.mu.RUnlock()
	return s.own.names[name]
}

// Privates lists the private projects, sorted.
func (s *Store) Privates() []pypi.Name {
	s.own.mu.RLock()
	defer s.own.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.own.names))
}

// Upload adds a distribution to a private project; a page of that name that came
// from an upstream gives way, with its files. On nil the file is durable, and is
// served. Nothing is left of it after an error. Errors: ErrHeld where the same
// bytes are here under that name, *TakenError, ErrBusy, ErrFull.
func (s *Store) Upload(u Upload) error {
	s.own.putting.Lock()
	defer s.own.putting.Unlock()
	digest, ok := u.File.Hashes.SHA256()
	if !ok {
		return fmt.Errorf("upload %s: it has no sha256", u.File.Filename)
	}
	parts := []uploadPart{{u.Content, Ref{Name: u.Name, Digest: digest, Filename: u.File.Filename, Pinned: true, Size: u.File.Size}}}
	u.File.CoreMetadata = pypi.CoreMetadata{}
	if u.Metadata != nil {
		sum := pypi.Digest(sha256.Sum256(u.Metadata))
		u.File.CoreMetadata = pypi.CoreMetadata{Available: true, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: sum.String()}}}
		parts = append(parts, uploadPart{strings.NewReader(string(u.Metadata)), Ref{
			Name: u.Name, Digest: sum, Filename: u.File.Filename, Metadata: true, Pinned: true, Size: int64(len(u.Metadata)),
		}})
	}
	page, known, err := s.pageWith(u)
	if err != nil {
		return err
	}
	if known && s.allHere(parts) {
		return fmt.Errorf("upload %s: %w", u.File.Filename, ErrHeld)
	}
	if err := s.bringIn(page, parts); err != nil {
		return fmt.Errorf("upload %s: %w", u.File.Filename, full(err))
	}
	s.log.Info("a private file was uploaded", "project", u.Name, "filename", u.File.Filename, "sha256", digest.String())
	return nil
}

// pageWith gives the page of a private project with a file added; known where it
// was on it.
func (s *Store) pageWith(u Upload) (page *pypi.Project, known bool, err error) {
	page = &pypi.Project{Name: u.Name}
	if s.Private(u.Name) {
		stored, here, err := s.meta.Project(u.Name)
		if err != nil {
			return nil, false, fmt.Errorf("upload %s: %w", u.File.Filename, err)
		}
		if here {
			page = stored
		}
	}
	want, _ := u.File.Hashes.SHA256()
	alike := likeness(u.Name, u.File.Filename)
	for i := range page.Files {
		f := &page.Files[i]
		has, _ := f.Hashes.SHA256()
		switch same := f.Filename == u.File.Filename; {
		case same && has == want:
			// What it says of itself cannot have changed, but for when it came.
			f.CoreMetadata = u.File.CoreMetadata
			return page, true, nil
		case same, has == want, likeness(u.Name, f.Filename) == alike:
			return nil, false, fmt.Errorf("upload %s: %w", u.File.Filename, &TakenError{Filename: f.Filename, Digest: has})
		}
	}
	if err := s.retired(u.Name, u.File.Filename, want); err != nil {
		return nil, false, fmt.Errorf("upload %s: %w", u.File.Filename, err)
	}
	page.Files = append(page.Files, u.File)
	version, _, err := pypi.DistributionVersion(u.Name, u.File.Filename)
	if err != nil {
		return nil, false, fmt.Errorf("upload: %w", err)
	}
	if !slices.Contains(page.Versions, version.String()) {
		page.Versions = append(page.Versions, version.String())
	}
	return page, false, nil
}

// likeness is the same for two file names that clients take for one: of one project
// they differ in how name or version are spelled.
func likeness(name pypi.Name, filename string) string {
	version, kind, err := pypi.DistributionVersion(name, filename)
	if err != nil {
		return filename
	}
	rest := ""
	if parts := strings.SplitN(filename, "-", 3); kind == pypi.KindWheel && len(parts) == 3 {
		rest = strings.ToLower(parts[2])
	}
	return fmt.Sprintf("%s %s %s", kind, version.Key(), rest)
}

// uploadPart is one blob of an upload.
type uploadPart struct {
	content io.ReaderAt
	ref     Ref
}

func (s *Store) allHere(parts []uploadPart) bool {
	for _, p := range parts {
		_, here, err := s.meta.Ref(p.ref.Name, p.ref.Digest)
		size, serr := s.blobs.Size(p.ref.Digest)
		if err != nil || serr != nil || !here || size != p.ref.Size {
			return false
		}
	}
	return true
}

// bringIn gives the bytes their names and then records page and references, in
// one: a cut before that leaves blobs that recovery withdraws, one after it blobs
// that it finds recorded.
func (s *Store) bringIn(page *pypi.Project, parts []uploadPart) (err error) {
	var staged []*Incoming
	refs := make([]Ref, 0, len(parts))
	defer func() {
		for _, in := range staged {
			err = errors.Join(err, s.takeBack(in))
		}
	}()
	for _, p := range parts {
		refs = append(refs, p.ref)
		in, err := s.stage(p)
		if err != nil {
			return err
		}
		if in != nil {
			staged = append(staged, in)
		}
	}
	// COMMIT POINT: when PutOwn returns, page and files are part of the store.
	var doomed []pypi.Digest
	err = s.relieved(func() (err error) {
		doomed, err = s.meta.PutOwn(page, refs, func(r Ref) error {
			size, err := s.blobs.Size(r.Digest)
			if err == nil && size != r.Size {
				err = fmt.Errorf("blob %s has %d bytes, not %d", r.Digest, size, r.Size)
			}
			return err
		})
		return full(err)
	})
	if err != nil {
		return err
	}
	s.own.mu.Lock()
	s.own.names[page.Name] = true
	s.own.mu.Unlock()
	for _, r := range refs {
		s.recount(r.Digest)
	}
	// What follows the next start does again where it fails.
	if berr := s.bury(doomed); berr != nil {
		s.log.Error("files that nothing names any more cannot be removed", "reason", berr)
	}
	for _, in := range staged {
		in.settleAccounts()
		if serr := in.Settle(); serr != nil {
			s.log.Warn("the state of an uploaded file stays behind", "digest", in.ref.Digest.String(), "reason", serr)
		}
	}
	staged = nil
	return nil
}

// takeBack removes what was staged and is not recorded, unless another project
// refers to it by now.
func (s *Store) takeBack(in *Incoming) error {
	in.settleAccounts()
	referenced := true
	err := s.meta.Bury(in.ref.Digest, func() error { referenced = false; return in.Withdraw() })
	if err == nil && referenced {
		err = in.Settle()
	}
	return err
}

// stage gives bytes their name, to be recorded; nil where they have it already.
func (s *Store) stage(p uploadPart) (*Incoming, error) {
	seen, err := s.hash(p.ref.Digest)
	var unreadable *fs.PathError
	switch {
	case err == nil && seen.digest == p.ref.Digest && seen.size == p.ref.Size:
		return nil, s.blobs.SyncName(p.ref.Digest)
	case err == nil, errors.As(err, &unreadable) && seen.info != nil:
		if err := s.setAside(p.ref.Digest, seen.info); err != nil {
			return nil, err
		}
	case !errors.Is(err, ErrNotFound):
		return nil, err
	default:
		if err := s.lose(p.ref.Name, p.ref.Digest); err != nil {
			return nil, err
		}
	}
	in, err := s.begin(p.ref, p.ref.Size)
	if err != nil {
		return nil, err
	}
	if in.Offset() > 0 {
		err = in.Reset() // of an upload that was cut off, or a download
	}
	if err == nil {
		_, err = io.Copy(in, io.NewSectionReader(p.content, 0, p.ref.Size))
	}
	if err == nil {
		in.ref.Size, err = in.Finish()
	}
	if err != nil {
		in.settleAccounts()
		return nil, errors.Join(err, in.Discard())
	}
	in.finished = true
	return in, nil
}
