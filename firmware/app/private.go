package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/httpd/upload"
	"cheeseboard/storage"
	"cheeseboard/storage/archive"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
)

// ours knows which names are this box's own: those that the settings say, and those
// under which something was uploaded. Settings that are lost do not give a name away.
type ours struct {
	patterns []pypi.NamePattern
	store    *storage.Store
}

func newOurs(c config.Private, store *storage.Store) (ours, error) {
	o := ours{store: store}
	for _, text := range c.Names {
		p, err := pypi.ParseNamePattern(text)
		if err != nil {
			return o, fmt.Errorf("read private.names: %w", err)
		}
		o.patterns = append(o.patterns, p)
	}
	return o, nil
}

func (o ours) stated(name pypi.Name) bool {
	return slices.ContainsFunc(o.patterns, func(p pypi.NamePattern) bool { return p.Match(name) })
}

// foreign tells whether a name is ours and nothing was uploaded under it: who speaks
// of it means somebody else's.
func (o ours) foreign(name pypi.Name) bool { return o.stated(name) && !o.store.Private(name) }

// has is quick.
func (o ours) has(name pypi.Name) bool { return o.stated(name) || o.store.Private(name) }

// take has projects forgotten that came from an upstream under names that are ours
// by now: they were served, and shall not be any more. What would take away a large
// part of all that is here is refused, since it is rather a mistake in the settings.
func (o ours) take(log *slog.Logger, guard float64) error {
	var foreign []pypi.Name
	files := 0
	for _, p := range o.patterns {
		err := o.store.NamesWith(p.Prefix(), func(e pypi.ListEntry) bool {
			if _, of := e.Name.Apart(); of == "" && p.Match(e.Name) && !o.store.Private(e.Name) {
				foreign = append(foreign, e.Name)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	for _, name := range foreign {
		held, err := o.store.Held(name)
		if err != nil {
			return err
		}
		for _, r := range held {
			if !r.Metadata {
				files++
			}
		}
	}
	if len(foreign) == 0 {
		return nil // to count all that is here takes a while
	}
	totals, err := o.store.Totals()
	if err != nil {
		return err
	}
	if !plan.Allowed(totals.Files, files, guard) {
		return fmt.Errorf("private.names matches %d projects that were mirrored from the upstream, with %d of the %d files that are here (%s): narrow it, or set sync.removal-guard to 1 if they are to go",
			len(foreign), files, totals.Files, firstOf(foreign))
	}
	for _, name := range foreign {
		if err := o.store.DeleteProject(name); err != nil {
			return err
		}
		log.Warn("a project that was mirrored is forgotten, since private.names says that its name is ours", "project", name)
	}
	return nil
}

func firstOf(names []pypi.Name) string {
	var b strings.Builder
	for i, n := range names {
		if i == 5 {
			return b.String() + ", …"
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}

// uploads keeps in the store what is uploaded.
type uploads struct {
	ours
	now func() time.Time
}

func (u uploads) Admit(name pypi.Name) error {
	switch {
	case u.has(name):
		return nil
	case len(u.patterns) == 0:
		return &upload.Refused{Status: 403, Reason: "Nothing can be uploaded here: private.names does not say which names are this box's own."}
	}
	return &upload.Refused{Status: 403, Reason: fmt.Sprintf(
		"%s is not one of this box's own names (private.names). Somebody else may publish it on the upstream index, now or later, and clients could not tell which one they get; so it is not taken. Choose a name that is yours, or add it to private.names.", name)}
}

func (u uploads) Receive(most int64) (upload.Bytes, error) {
	if most == 0 {
		most = plausibleUpload
	}
	r, err := u.store.Receive(most)
	if err != nil {
		return nil, uploadError(err)
	}
	return received{r}, nil
}

// plausibleUpload is for how many bytes room is made where it is not known how many
// come; what is larger makes it as it comes.
const plausibleUpload = 32 << 20

type received struct{ *storage.Receiving }

func (r received) Write(b []byte) (int, error) {
	n, err := r.Receiving.Write(b)
	return n, uploadError(err)
}

func (u uploads) Keep(_ context.Context, b upload.Bytes, f upload.File) error {
	m, err := archive.Read(b, b.Size(), f.Name, f.Filename)
	var fault *archive.Fault
	if errors.As(err, &fault) {
		return &upload.Refused{Reason: fmt.Sprintf("%s is no good: %s.", f.Filename, fault.Reason)}
	}
	if err != nil {
		return fmt.Errorf("look into %s: %w", f.Filename, err)
	}
	if err := f.Agrees(m.Raw); err != nil {
		return err
	}
	up := storage.Upload{Name: f.Name, Content: b, File: pypi.File{
		Filename: f.Filename, Hashes: f.Hashes, Size: b.Size(), RequiresPython: m.RequiresPython,
	}}
	if strings.HasSuffix(f.Filename, ".whl") { // what building a sdist makes of its metadata is not known
		up.Metadata = m.Raw
	}
	if now := u.now().UTC().Truncate(time.Microsecond); now.After(plausibleTime) {
		up.File.UploadTime = now
	}
	return uploadError(u.store.Upload(up))
}

// plausibleTime is before the first version of this program: a clock that shows less
// has not been set.
var plausibleTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// uploadError makes the store's errors those that the front tells apart.
func uploadError(err error) error {
	if err == nil {
		return nil
	}
	var taken *storage.TakenError
	if errors.As(err, &taken) {
		reason := taken.Error()
		return &upload.Refused{Reason: strings.ToUpper(reason[:1]) + reason[1:] + ". Choose another version."}
	}
	for _, t := range []struct{ from, to error }{
		{storage.ErrHeld, upload.ErrHeld}, {storage.ErrBusy, upload.ErrBusy}, {storage.ErrFull, upload.ErrFull},
	} {
		if errors.Is(err, t.from) {
			return fmt.Errorf("%w%w", hidden{t.to}, err)
		}
	}
	return err
}

// probePrivate names private files that the disk has lost: nobody else can bring
// them again.
func (a *App) probePrivate() health.Finding {
	lost, err := a.lostPrivate()
	switch {
	case err != nil:
		return health.Finding{Severity: health.Attention, Summary: "what is lost cannot be told: " + err.Error(), Action: "run cheeseboard verify"}
	case len(lost) == 0:
		return health.Finding{Summary: "no private file is known to be lost"}
	}
	what := make([]string, 0, len(lost))
	for _, r := range lost {
		if !r.Metadata {
			what = append(what, r.Filename)
		}
	}
	more := ""
	if len(what) > 5 {
		what, more = what[:5], fmt.Sprintf(" and %d more", len(what)-5)
	}
	return health.Finding{
		Severity: health.Attention, Action: "upload them again, the same bytes; and have another disk ready (cheeseboard move)",
		Summary: "the disk has lost or changed private files, which nobody else has: " + strings.Join(what, ", ") + more,
	}
}

// lostPrivate lists what was uploaded and is lost.
func (a *App) lostPrivate() ([]storage.Ref, error) {
	lost, err := a.Store.Lost()
	return slices.DeleteFunc(lost, func(r storage.Ref) bool { return !a.ours.has(r.Name) }), err
}
