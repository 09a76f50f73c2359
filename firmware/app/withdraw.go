package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cheeseboard/firmware/config"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
)

// PrivateAct is what is done with files that were uploaded.
type PrivateAct string

// The acts. Each but PrivateList wants a project, and which of its files.
const (
	PrivateList   PrivateAct = "list"
	PrivateYank   PrivateAct = "yank"
	PrivateUnyank PrivateAct = "unyank"
	PrivateDelete PrivateAct = "delete"
)

// PrivateOrder is what the command private wants done.
type PrivateOrder struct {
	Act     PrivateAct `json:"act"`
	Project string     `json:"project"`          // for PrivateList "" means all
	Which   string     `json:"which,omitempty"`  // a version, or the name of a file
	Reason  string     `json:"reason,omitempty"` // of PrivateYank
}

// PrivateFile is a file that was uploaded.
type PrivateFile struct {
	Filename string    `json:"filename"`
	Size     int64     `json:"size"`
	Uploaded time.Time `json:"uploaded"` // zero: the clock was not set
	Yanked   bool      `json:"yanked"`
	Reason   string    `json:"reason,omitempty"`
}

// PrivateAnswer names the files that there are, or with which something was done.
type PrivateAnswer struct {
	Files []PrivateFile `json:"files"`
}

// maxReason is how long the reason of a yank may be, in bytes.
const maxReason = 500

// carryOut does what an order wants; durable when it returns.
func (u uploads) carryOut(o PrivateOrder) (a PrivateAnswer, err error) {
	if o.Act == PrivateList {
		return u.list(o.Project)
	}
	name, err := pypi.ParseName(o.Project)
	if err != nil {
		return a, fmt.Errorf("read the project: %w", err)
	}
	pick, err := u.choice(name, o.Which)
	if err != nil {
		return a, err
	}
	var filenames []string
	switch o.Act {
	case PrivateYank:
		if len(o.Reason) > maxReason || !utf8.ValidString(o.Reason) || strings.ContainsFunc(o.Reason, unicode.IsControl) {
			return a, fmt.Errorf("the reason is for a line of text, of at most %d bytes", maxReason)
		}
		filenames, err = u.store.Yank(name, pick, pypi.Yanked{Is: true, Reason: o.Reason})
	case PrivateUnyank:
		filenames, err = u.store.Yank(name, pick, pypi.Yanked{})
	case PrivateDelete:
		filenames, err = u.store.Withdraw(name, pick)
	default:
		err = fmt.Errorf("nobody knows how to %q a file", o.Act)
	}
	if errors.Is(err, storage.ErrNotPrivate) {
		err = fmt.Errorf("%w; cheeseboard private list names what was", err)
	}
	if err == nil && len(filenames) == 0 {
		err = fmt.Errorf("%s has no version and no file %s here; cheeseboard private list %s names what it has", name, o.Which, name)
	}
	for _, f := range filenames {
		a.Files = append(a.Files, PrivateFile{Filename: f})
	}
	return a, err
}

// choice reads which files are meant: one by its name, or all of a version.
func (u uploads) choice(name pypi.Name, which string) (func(*pypi.File) bool, error) {
	if _, _, err := pypi.DistributionVersion(name, which); err == nil {
		return func(f *pypi.File) bool { return f.Filename == which }, nil
	}
	version, err := pypi.ParseVersion(which)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a version nor the name of a file of %s", which, name)
	}
	return func(f *pypi.File) bool {
		v, _, err := pypi.DistributionVersion(name, f.Filename)
		return err == nil && v.Key() == version.Key()
	}, nil
}

// list names what was uploaded, of one project or of all.
func (u uploads) list(project string) (a PrivateAnswer, err error) {
	names := u.store.Privates()
	if project != "" {
		name, err := pypi.ParseName(project)
		if err != nil || !slices.Contains(names, name) {
			return a, errors.Join(fmt.Errorf("%s: %w", project, storage.ErrNotPrivate), err)
		}
		names = []pypi.Name{name}
	}
	for _, name := range names {
		page, _, err := u.store.Project(name)
		if err != nil {
			return a, err
		}
		if page == nil {
			continue
		}
		for _, f := range page.Files {
			a.Files = append(a.Files, PrivateFile{f.Filename, f.Size, f.UploadTime, f.Yanked.Is, f.Yanked.Reason})
		}
	}
	return a, nil
}

// servePrivate carries out orders that come through the control socket.
func (a *App) servePrivate(w http.ResponseWriter, r *http.Request) {
	serveOrder(a, w, r, uploads{a.ours, time.Now}.carryOut)
}

// RunPrivate lists, yanks or deletes files that were uploaded: in the box that serves
// this data folder, or by itself.
func RunPrivate(ctx context.Context, c config.Config, log *slog.Logger, o PrivateOrder) (PrivateAnswer, error) {
	return runOrder(ctx, c, log, "/private", o, existing, func(a *App) (PrivateAnswer, error) {
		return uploads{a.ours, time.Now}.carryOut(o)
	})
}
