package app

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"cheeseboard/firmware/update"
	"cheeseboard/storage/durable"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/fetch"
)

const (
	// askReleases is the time between two looks at the releases, askAgain after one
	// that failed.
	askReleases = 24 * time.Hour
	askAgain    = 30 * time.Minute
	// updateFolder is where in the data folder a bundle arrives.
	updateFolder = "update"
)

// Releases is what is known of what is released.
type Releases struct {
	Checked time.Time `json:"checked,omitzero"`
	Version string    `json:"version,omitempty"` // the newest for this board
	Notes   string    `json:"notes,omitempty"`
	Newer   bool      `json:"newer"` // and worth installing
	Fetched int64     `json:"fetched,omitempty"`
	Bytes   int64     `json:"bytes,omitempty"`
	Problem string    `json:"problem,omitempty"`
}

// releases tells it.
func (a *App) releases() *Releases {
	if a.machine == nil || a.config.Update.Releases == "" {
		return nil
	}
	s, _ := a.updates.now()
	u := &a.updates
	u.mu.Lock()
	defer u.mu.Unlock()
	r := &Releases{Checked: u.checked, Problem: u.failed, Fetched: u.fetched}
	if o := u.offer; o != nil {
		r.Version, r.Notes, r.Bytes, r.Newer = o.Version.String(), o.Notes, o.Length, update.Worth(s, o.Version)
	}
	return r
}

// dueForReleases tells whether they are to be asked for now, by itself.
func (a *App) dueForReleases(now time.Time) bool {
	if a.config.Update.Releases == "" || a.line.Admit(budget.Background) != nil {
		return false
	}
	u := &a.updates
	u.mu.Lock()
	defer u.mu.Unlock()
	every := askReleases
	if u.failed != "" {
		every = askAgain
	}
	return u.tried.IsZero() || now.Sub(u.tried) >= every
}

func (a *App) noteReleases(err error) {
	u := &a.updates
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tried, u.failed = time.Now(), ""
	if err != nil {
		u.failed = err.Error()
	}
}

func (a *App) releaseKeys() ([]ed25519.PublicKey, error) {
	if a.updates.keys != nil {
		return a.updates.keys()
	}
	return update.ReadKeys(update.KeysPath)
}

// checkReleases asks for the list of releases. It gives the newest one for this board;
// nil where there is none.
func (a *App) checkReleases(ctx context.Context) (*update.Offer, error) {
	address := a.config.Update.Releases
	if address == "" {
		return nil, errors.New("nobody is asked for releases: set update.releases")
	}
	s, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := a.releaseKeys()
	if err != nil {
		return nil, err
	}
	raw, err := a.get(ctx, address, update.MostIndex)
	if err != nil {
		return nil, fmt.Errorf("ask for releases: %w", err)
	}
	index, err := update.ParseIndex(raw, keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	if err := a.newestIndex(index.Issued); err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	u := &a.updates
	u.mu.Lock()
	defer u.mu.Unlock()
	u.checked, u.offer, u.fetched = time.Now(), nil, 0
	offer, ok := index.Newest(s.Board)
	if !ok {
		return nil, nil
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	where, err := base.Parse(offer.URL)
	if err != nil || where.Scheme != "http" && where.Scheme != "https" {
		return nil, fmt.Errorf("%s: the address %q of version %s cannot be used", address, offer.URL, offer.Version)
	}
	offer.URL = where.String()
	u.offer = &offer
	return &offer, nil
}

// get brings a short text.
func (a *App) get(ctx context.Context, address string, most int64) ([]byte, error) {
	client, err := newClient(a.config, a.line)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdle()
	resp, err := client.Get(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s", address, resp.Status)
	case int64(len(raw)) > most:
		return nil, fmt.Errorf("%s has more than %d bytes", address, most)
	}
	return raw, nil
}

// issuedKey is when the newest list of releases was issued that was seen.
const issuedKey = "releases-issued"

// newestIndex refuses a list that is older than one that was seen: somebody on the way
// may hold releases back.
func (a *App) newestIndex(issued time.Time) error {
	raw, err := a.Store.Value(issuedKey)
	if err != nil {
		return err
	}
	var seen time.Time
	if raw != nil && seen.UnmarshalText(raw) == nil && issued.Before(seen) {
		return fmt.Errorf("the list of releases is of %s, and one of %s was seen already", issued.Format(time.DateTime), seen.Format(time.DateTime))
	}
	text, err := issued.MarshalText()
	if err != nil || issued.Equal(seen) {
		return err
	}
	return a.Store.SetValue(issuedKey, text)
}

// takeOffer fetches a release, going on where the last try stopped, and installs it.
func (a *App) takeOffer(ctx context.Context, o update.Offer, opts UpdateOptions, report func(Event)) (Updated, error) {
	path, err := a.fetchBundle(ctx, o, report)
	if err != nil {
		return Updated{}, fmt.Errorf("fetch version %s: %w", o.Version, err)
	}
	done, err := a.installFile(ctx, path, opts, report)
	if err != nil {
		return done, fmt.Errorf("install version %s: %w", o.Version, err)
	}
	return done, new(durable.Disk).RemoveAll(filepath.Dir(path))
}

// fetchBundle brings the bundle of a release into the data folder, and proves its
// digest.
func (a *App) fetchBundle(ctx context.Context, o update.Offer, report func(Event)) (string, error) {
	if space, err := a.Store.Space(); err != nil {
		return "", err
	} else if space.Free-o.Length < space.Need {
		return "", fmt.Errorf("the disk has no room for its %d MB: make room", o.Length>>20)
	}
	client, err := newClient(a.config, a.line)
	if err != nil {
		return "", err
	}
	defer client.CloseIdle()
	t, err := openArriving(filepath.Join(a.Store.Dir(), updateFolder), o)
	if err != nil {
		return "", err
	}
	t.progress = func(n int64) {
		a.updates.mu.Lock()
		a.updates.fetched = n
		a.updates.mu.Unlock()
		report(Event{Update: &UpdateProgress{Stage: "fetch", Done: n, Total: o.Length}})
	}
	f := fetch.Fetcher{Client: client}
	err = f.Fetch(ctx, o.URL, t)
	if err == nil {
		err = t.prove()
	}
	return t.path(), errors.Join(err, t.Close())
}

// arriving is a bundle that arrives, in a folder of its own: the bytes, and what they
// are of. It is a fetch.Target. What is lost in a power cut comes again; what is wrong
// is found by the digest.
type arriving struct {
	*os.File
	folder   string
	of       arrivingNote
	length   int64
	have     int64
	progress func(int64)
}

// arrivingNote is beside the bytes.
type arrivingNote struct {
	SHA256 string `json:"sha256"`
	ETag   string `json:"etag,omitempty"`
}

const (
	arrivingName     = "bundle.part"
	arrivingNoteName = "bundle.json"
)

// openArriving goes on with what is there of the same bundle, and begins anew with
// another.
func openArriving(folder string, o update.Offer) (*arriving, error) {
	disk := new(durable.Disk)
	if err := disk.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	t := &arriving{folder: folder, length: o.Length}
	raw, err := os.ReadFile(filepath.Join(folder, arrivingNoteName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	same := err == nil && json.Unmarshal(raw, &t.of) == nil && t.of.SHA256 == o.SHA256
	if !same {
		t.of = arrivingNote{SHA256: o.SHA256}
		if err := disk.Remove(filepath.Join(folder, arrivingName)); err != nil {
			return nil, err
		}
		if err := t.note(); err != nil {
			return nil, err
		}
	}
	if t.File, err = os.OpenFile(t.path(), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if t.have, err = t.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *arriving) path() string { return filepath.Join(t.folder, arrivingName) }

func (t *arriving) note() error {
	raw, err := json.Marshal(t.of)
	if err != nil {
		return err
	}
	return new(durable.Disk).WriteFile(filepath.Join(t.folder, arrivingNoteName), raw, 0o600)
}

// Offset implements fetch.Target.
func (t *arriving) Offset() int64 { return t.have }

// Size implements fetch.Target.
func (t *arriving) Size() int64 { return t.length }

// Validator implements fetch.Target.
func (t *arriving) Validator() string { return t.of.ETag }

// SetValidator implements fetch.Target. One that cannot be kept costs the bytes that
// are here, no more.
func (t *arriving) SetValidator(etag string) {
	if t.of.ETag != etag {
		t.of.ETag = etag
		_ = t.note() // as above
	}
}

// Write implements fetch.Target.
func (t *arriving) Write(b []byte) (int, error) {
	if t.have+int64(len(b)) > t.length {
		return 0, fmt.Errorf("the bundle is longer than the list of releases says (%d bytes)", t.length)
	}
	n, err := t.File.Write(b)
	t.have += int64(n)
	t.progress(t.have)
	return n, err
}

// Reset implements fetch.Target.
func (t *arriving) Reset() error {
	t.have = 0
	_, err := t.Seek(0, io.SeekStart)
	return errors.Join(err, t.Truncate(0))
}

// prove reads the bundle from its beginning. One that is wrong is thrown away.
func (t *arriving) prove() error {
	sum := sha256.New()
	_, err := t.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(sum, t.File)
	}
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != t.of.SHA256 {
		err = errors.Join(errors.New("what came is not what the list of releases says; it was thrown away"), t.Reset())
	}
	return err
}

var _ fetch.Target = (*arriving)(nil)
