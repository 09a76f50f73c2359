package storage

import (
	"errors"
	"os"

	"cheeseboard/storage/pypi"
)

// A file that cannot be read may be lost, or the disk as a whole cannot be read for now:
// a cable is loose, a bridge hangs. Then what is on it must not be given up. So such a
// file is a suspect until another one is read.

// maxFailing is how many files in a row may be unreadable before that is put down to the
// disk as a whole, or to its cable: none of them is set aside.
const maxFailing = 8

var errFailing = errors.New("one file after the other cannot be read: look at the disk and its cable")

type suspects struct {
	list []suspect
	read bool // a file could be read
}

// suspect is a file that could not be read.
type suspect struct {
	digest  pypi.Digest
	finding Finding
	info    os.FileInfo
}

// suspect remembers a file that could not be read; errFailing where there are too many.
func (v *verifier) suspect(digest pypi.Digest, f Finding, info os.FileInfo) error {
	s := &v.suspects
	if s.list = append(s.list, suspect{digest, f, info}); len(s.list) > maxFailing {
		s.list = nil
		return errFailing
	}
	return nil
}

// sound is told that a file was read: the disk can be, and the suspects are lost.
func (v *verifier) sound() {
	v.suspects.read = true
	v.convict()
}

func (v *verifier) convict() {
	for _, s := range v.suspects.list {
		v.found(s.finding, func() error { return v.setAside(s.digest, s.info) })
	}
	v.suspects.list = nil
}

// settleSuspects ends a walk. Where it could read nothing, files before its beginning tell
// whether the disk can be read; where there are none, two suspects are enough to doubt it.
func (v *verifier) settleSuspects(first pypi.Digest) error {
	if len(v.suspects.list) > 0 && !v.suspects.read {
		tries, read := 0, false
		err := v.blobs.Each(pypi.Digest{}, func(digest pypi.Digest, _ int64) bool {
			if digest.String() >= first.String() {
				return false
			}
			_, err := v.read(digest)
			read = err == nil
			tries++
			return !read && tries <= maxFailing && v.ctx.Err() == nil
		}, func(string) {})
		if err = errors.Join(err, v.ctx.Err()); err != nil {
			return err
		}
		if !read && tries+len(v.suspects.list) > 1 {
			v.suspects.list = nil
			return errFailing
		}
	}
	v.convict()
	return nil
}
