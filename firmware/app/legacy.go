package app

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"cheeseboard/httpd/legacy"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
)

// frontLegacy answers PyPI's older JSON API with what is in the store. The line has
// no part in it: the same serial is the same content.
type frontLegacy struct {
	store  *storage.Store
	engine *syncer.Engine // knows what is not given out
	space  space
}

// Here reads a project as of one generation, or of the last of three that were in a
// hurry: then its tag is that of an earlier one, and it is asked for again.
func (x frontLegacy) Here(_ context.Context, name pypi.Name) (*legacy.Project, error) {
	if reason := x.space.foreign(name); reason != "" {
		return nil, &legacy.Missing{Reason: reason}
	}
	if reason, blocked := x.engine.Blocked(name); blocked {
		return nil, &legacy.Missing{Reason: reason}
	}
	for tries := 1; ; tries++ {
		before, known, err := x.store.Info(name)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, &legacy.Missing{Reason: fmt.Sprintf("%s is not on this cheeseboard.", name)}
		}
		ruled, err := x.engine.Ruled(name, before.Generation)
		if err != nil {
			return nil, err
		}
		p, err := x.read(name)
		if err != nil {
			return nil, err
		}
		after, _, err := x.store.Info(name)
		if err != nil {
			return nil, err
		}
		if after.Generation == before.Generation || tries == 3 {
			p.Serial = int64(before.Generation)
			p.Tag = fmt.Sprintf("%s-%d%s", x.store.ID(), before.Generation, ruled)
			return p, nil
		}
	}
}

func (x frontLegacy) read(name pypi.Name) (*legacy.Project, error) {
	page, known, err := x.store.Project(name)
	if err != nil {
		return nil, err
	}
	held, err := x.store.Held(name)
	if err != nil {
		return nil, err
	}
	p := &legacy.Project{Metadata: func(f *pypi.File) ([]byte, error) { return x.metadata(name, f) }}
	if !known {
		return p, nil // it was removed at this moment
	}
	if page.Status.State == pypi.StatusQuarantined {
		return nil, &legacy.Missing{Reason: fmt.Sprintf("%s is in quarantine upstream and is not given out: %s", name, page.Status.Reason)}
	}
	for _, f := range page.Files {
		digest, ok := f.Hashes.SHA256()
		ref, here := held[digest]
		if !ok || !here || ref.Metadata || x.engine.Withheld(name, &f) != "" {
			continue
		}
		entry := legacy.File{File: f}
		entry.Size = ref.Size
		if sum, ok := f.CoreMetadata.Hashes.SHA256(); !ok || !held[sum].Metadata {
			entry.CoreMetadata = pypi.CoreMetadata{}
		}
		if f.UploadTime.IsZero() {
			opened, _, err := x.store.OpenFile(name, digest)
			if err != nil {
				continue // lost, or removed at this moment
			}
			about, err := opened.Stat()
			if err = errors.Join(err, opened.Close()); err != nil {
				return nil, err
			}
			entry.Arrived = about.ModTime()
		}
		p.Files = append(p.Files, entry)
	}
	return p, nil
}

// maxMetadata is the most bytes of core metadata that are read.
const maxMetadata = 4 << 20

// metadata reads the core metadata of a file: those that stand apart, else those in
// the wheel; nil where there are none.
func (x frontLegacy) metadata(name pypi.Name, f *pypi.File) (raw []byte, err error) {
	if digest, ok := f.CoreMetadata.Hashes.SHA256(); ok {
		file, ref, err := x.store.OpenFile(name, digest)
		if err == nil && ref.Metadata {
			raw, err = io.ReadAll(io.LimitReader(file, maxMetadata))
			return raw, errors.Join(err, file.Close())
		}
		if err == nil {
			err = file.Close()
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
	}
	digest, ok := f.Hashes.SHA256()
	if !ok || !strings.HasSuffix(f.Filename, ".whl") {
		return nil, nil
	}
	file, ref, err := x.store.OpenFile(name, digest)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return inWheel(file, ref.Size), nil
}

// inWheel reads METADATA from a wheel; nil where it is not as a wheel should be.
func inWheel(file io.ReaderAt, size int64) []byte {
	z, err := zip.NewReader(file, size)
	if err != nil {
		return nil
	}
	for _, entry := range z.File {
		folder, base, ok := strings.Cut(entry.Name, "/")
		if !ok || base != "METADATA" || !strings.HasSuffix(folder, ".dist-info") {
			continue
		}
		r, err := entry.Open()
		if err != nil {
			return nil
		}
		raw, err := io.ReadAll(io.LimitReader(r, maxMetadata))
		if errors.Join(err, r.Close()) != nil {
			return nil
		}
		return raw
	}
	return nil
}
