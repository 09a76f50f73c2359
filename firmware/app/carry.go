package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/archive"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
)

// Packages that people carry here on a USB stick: what `pip download` has put into a
// folder, for instance. An import finds them, in whatever folder they lie, looks into
// each, and hands it to the engine, which knows what the index says of it.

const (
	// maxRefusals is how many files that were not taken an import names.
	maxRefusals = 20
	// maxFound is how many files an import takes from one stick, and maxDepth how deep its
	// folders may lie in one another: a damaged one may hold itself.
	maxFound, maxDepth = 100_000, 50
)

// ImportStatus is how bringing in what lies on USB sticks goes, or went last.
type ImportStatus struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"` // zero: it is under way
	Found int       `json:"found"`          // wheels and source distributions
	New   int       `json:"new"`            // of them that are here now and were not before
	Here  int       `json:"here"`           // that were here
	Left  int       `json:"left"`           // that were not taken
	// Refused names the first of those that were not taken, with the reason.
	Refused []pypi.Refusal `json:"refused,omitempty"`
	Problem string         `json:"problem,omitempty"` // why it ended early; a sentence
}

// String says it in a sentence.
func (s ImportStatus) String() string {
	counts := fmt.Sprintf("%d new, %d were here already, %d not taken", s.New, s.Here, s.Left)
	done := s.New + s.Here + s.Left
	switch {
	case s.Ended.IsZero():
		return fmt.Sprintf("An import from a USB stick is under way: %d of %d files.", done, s.Found)
	case s.Problem != "":
		return fmt.Sprintf("The last import from a USB stick ended early (%s); of %d files: %s.", s.Problem, s.Found, counts)
	case s.Found == 0:
		return "The last import found nothing on the USB stick: packages are files that end in .whl or .tar.gz, in whatever folder."
	}
	return fmt.Sprintf("The last import from a USB stick is complete; of %d files: %s.", s.Found, counts)
}

// imports brings in what lies on sticks. The zero value has nothing to do.
type imports struct {
	mu    sync.Mutex
	under bool
	wake  chan struct{} // holds one; nil: the box does not serve
	last  *ImportStatus
}

// errNoStick is what somebody is told who asks for an import without a stick.
var errNoStick = errors.New("there is no USB stick here: plug one in with .whl or .tar.gz files on it")

// Import begins to bring in what lies on the USB sticks that are plugged in, and does
// not wait for that.
func (a *App) Import() error {
	i := &a.imports
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.wake == nil:
		return errors.New("nothing can be imported while the box starts or stops")
	case i.under:
		return errors.New("an import is under way already")
	case len(a.stickFolders()) == 0:
		return errNoStick
	}
	i.under = true
	i.last = &ImportStatus{Began: time.Now()}
	i.wake <- struct{}{} // one at a time: there is room
	return nil
}

// Imported tells how the last import went, or goes; nil where there was none.
func (a *App) Imported() *ImportStatus {
	a.imports.mu.Lock()
	defer a.imports.mu.Unlock()
	if a.imports.last == nil {
		return nil
	}
	s := *a.imports.last
	s.Refused = slices.Clone(s.Refused)
	return &s
}

func (i *imports) running() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.under
}

// update changes what is told of the import that is under way.
func (i *imports) update(change func(*ImportStatus)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i.last)
}

// stickFolders lists where sticks are mounted, by this process or by the init.
func (a *App) stickFolders() (folders []string) {
	parent := a.config.Stick.Folder
	if parent == "" {
		return nil
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil // it is made with the first stick
	}
	is := a.IsStick
	if is == nil {
		is = isMount
	}
	for _, e := range entries {
		if folder := filepath.Join(parent, e.Name()); e.IsDir() && is(folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// isMount tells whether something is mounted at a folder.
func isMount(folder string) bool {
	var inner, outer syscall.Stat_t
	return syscall.Stat(folder, &inner) == nil && syscall.Stat(filepath.Dir(folder), &outer) == nil && inner.Dev != outer.Dev
}

// sticksOf is what one short press of the button imports from.
type sticksOf struct{ *App }

// Inserted implements Stick.
func (s sticksOf) Inserted() bool { return len(s.stickFolders()) > 0 }

// Import implements Stick.
func (s sticksOf) Import() {
	if err := s.App.Import(); err != nil {
		s.log.Warn("nothing is imported", "reason", err)
	}
}

// runImports carries out imports that somebody asks for, until ctx ends.
func (a *App) runImports(ctx context.Context) {
	wake := make(chan struct{}, 1)
	a.imports.mu.Lock()
	a.imports.wake = wake
	a.imports.mu.Unlock()
	defer func() {
		a.imports.mu.Lock()
		defer a.imports.mu.Unlock()
		a.imports.wake, a.imports.under = nil, false
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		err := a.importAll(ctx)
		a.imports.update(func(s *ImportStatus) {
			s.Ended, a.imports.under = time.Now(), false
			if err != nil {
				s.Problem = reply.Plain(err.Error())
			}
		})
		a.log.Info("an import from a USB stick is over", "how", a.Imported().String())
	}
}

// importAll brings in what lies on the sticks that are here now.
func (a *App) importAll(ctx context.Context) error {
	folders := a.stickFolders()
	if len(folders) == 0 {
		return errNoStick
	}
	for _, folder := range folders {
		if err := a.importFrom(ctx, folder); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) importFrom(ctx context.Context, folder string) error {
	root, err := os.OpenRoot(folder) // nothing on a stick leads out of it
	if err != nil {
		return fmt.Errorf("open the stick: %w", err)
	}
	defer func() { _ = root.Close() }() // it was only read
	paths, closed, more, err := findPackages(ctx, root.FS(), maxFound)
	if err != nil {
		return fmt.Errorf("read the stick: %w", err)
	}
	a.imports.update(func(s *ImportStatus) { s.Found += len(paths) })
	for _, c := range closed {
		a.refuse(c.Filename, errors.New(c.Reason))
	}
	for _, path := range paths {
		fresh, err := a.importFile(ctx, root, path)
		switch {
		case ctx.Err() != nil:
			return errors.New("the box stops")
		case errors.Is(err, syncer.ErrFull):
			return fmt.Errorf("%s has no room on the disk: %w", path, err)
		case err != nil && !slices.Contains(a.stickFolders(), folder):
			return errors.New("the stick was pulled out")
		}
		switch {
		case err != nil:
			a.imports.update(func(s *ImportStatus) { s.Left++ })
			a.refuse(path, err)
		case fresh:
			a.imports.update(func(s *ImportStatus) { s.New++ })
		default:
			a.imports.update(func(s *ImportStatus) { s.Here++ })
		}
	}
	if more {
		return fmt.Errorf("a stick has more than %d packages, and the others were not looked at: move them to another stick", len(paths))
	}
	return nil
}

// refuse notes why something was not taken. After some it is silent: the rest is counted.
// Paths are a stranger's, and are made fit for a terminal.
func (a *App) refuse(path string, reason error) {
	a.imports.update(func(s *ImportStatus) {
		if len(s.Refused) < maxRefusals {
			s.Refused = append(s.Refused, pypi.Refusal{Filename: reply.Plain(path), Reason: reply.Plain(reason.Error())})
			a.log.Warn("a file on a USB stick was not taken", "path", path, "reason", reason)
		}
	})
}

// findPackages lists the paths of what is named like a distribution, up to most, and the
// first of the folders that cannot be read; more tells whether there are others.
func findPackages(ctx context.Context, stick fs.FS, most int) (paths []string, closed []pypi.Refusal, more bool, err error) {
	refuse := func(path, reason string) {
		if len(closed) < maxRefusals {
			closed = append(closed, pypi.Refusal{Filename: path, Reason: reason})
		}
	}
	err = fs.WalkDir(stick, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && path == ".":
			return err
		case err != nil:
			refuse(path, err.Error())
			return fs.SkipDir
		case path != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains(notOurs, d.Name())):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir() && strings.Count(path, "/") >= maxDepth:
			refuse(path, "it lies too deep in other folders")
			return fs.SkipDir
		case !d.Type().IsRegular() || !isPackage(d.Name()):
		case len(paths) == most:
			more = true
			return fs.SkipAll
		default:
			paths = append(paths, path)
		}
		return nil
	})
	return paths, closed, more, err
}

// notOurs is what systems leave on a stick, beside names with a dot before them.
var notOurs = []string{"System Volume Information", "$RECYCLE.BIN", "lost+found"}

func isPackage(filename string) bool {
	return strings.HasSuffix(filename, ".whl") || strings.HasSuffix(filename, ".tar.gz")
}

// importFile looks into one file and hands it to the engine. An error is for people.
func (a *App) importFile(ctx context.Context, root *os.Root, path string) (fresh bool, err error) {
	// Open of a Root gives files of 2 GiB and more only where an int has 64 bits.
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_LARGEFILE, 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()                         // it was only read
	defer context.AfterFunc(ctx, func() { _ = f.Close() })() // ends reading, which knows no ctx
	c, err := lookInto(f, filepath.Base(path))
	if err != nil {
		return false, err
	}
	const tries = 3 // the data folder may be closed for a moment: the next waits for it
	for try := 1; ; try++ {
		fresh, err = a.carry(ctx, c)
		if !errors.Is(err, context.Canceled) || ctx.Err() != nil || try == tries {
			return fresh, err
		}
	}
}

// carry hands a file to the engine of the index that its project belongs to. No other is
// to hear of the name.
func (a *App) carry(ctx context.Context, c syncer.Carried) (fresh bool, err error) {
	ctx, leave, err := a.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	return a.engineOf(pypi.Namespace(a.config.Owner(c.Name))).Carry(ctx, c)
}

// lookInto makes of a file what a page would say of it.
func lookInto(f *os.File, filename string) (c syncer.Carried, err error) {
	if c.Name, err = projectOf(filename); err != nil {
		return c, err
	}
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	if info.Size() > pypi.MaxFileSize { // before it is read, which may take days
		return c, fmt.Errorf("it is said to have %d bytes, which no package has", info.Size())
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return c, err
	}
	m, err := archive.Read(f, size, c.Name, filename)
	if err != nil {
		return c, err
	}
	c.Content = f
	c.File = pypi.File{
		Filename: filename, Size: size, RequiresPython: m.RequiresPython,
		Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: pypi.Digest(sum.Sum(nil)).String()}},
	}
	if strings.HasSuffix(filename, ".whl") { // what building a sdist makes of its metadata is not known
		c.Metadata = m.Raw
	}
	return c, nil
}

// projectOf tells whose distribution a file is, by its name.
func projectOf(filename string) (pypi.Name, error) {
	if err := pypi.CheckFilename(filename); err != nil {
		return "", err
	}
	if strings.IndexFunc(filename, unusual) >= 0 {
		return "", errors.New("no package has such a name: it was changed, perhaps where it was saved twice")
	}
	if strings.HasSuffix(filename, ".whl") {
		w, err := pypi.ParseWheelFilename(filename)
		return w.Name, err
	}
	name, _, err := pypi.ParseSdistFilename(filename)
	return name, err
}

// unusual tells what does not stand in the file name of a wheel or source distribution.
func unusual(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.+!", r))
}
