package storage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cheeseboard/storage/blob"
	"cheeseboard/storage/evict"
	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// Room is made before bytes come, not when they do not fit: by removing what lies
// in the quarantine, then partials that nobody went on with for a day, then what is
// only cached, the least valuable first, then younger partials. A reference goes before its bytes, as always.

// partialIdle is the age from which a partial goes before a file that is whole.
const partialIdle = 24 * time.Hour

// promised are the bytes that Incomings were promised and have not written.
type promised struct {
	making sync.Mutex // held while room is made, so that no two make it for one need

	mu    sync.Mutex
	bytes int64
}

func (p *promised) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += n
}

func (p *promised) sum() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// floor is the free space in bytes that files leave: the reserve, or what the
// metadata need if that is more.
func (s *Store) floor() int64 { return max(s.reserve, s.meta.Need()) }

// promise makes room for a file of a size, of which have bytes are here, and keeps
// it for that file until it has arrived.
func (s *Store) promise(ref Ref, size, have int64) (promised int64, err error) {
	s.promises.making.Lock()
	defer s.promises.making.Unlock()
	promised = max(size-have, 0)
	coming := comingOf(ref, size)
	if err := s.makeRoom(ref.Digest, promised, coming); err != nil {
		return 0, err
	}
	s.promises.add(promised)
	s.cached.come(coming)
	return promised, nil
}

// exempt, instead of a number of bytes, is what does not count for the quota.
const exempt = -1

// comingOf tells what a file that is to come counts for the quota.
func comingOf(ref Ref, size int64) int64 {
	if ref.Pinned {
		return exempt
	}
	return max(size, 0)
}

// come counts a file that is on its way; left takes it off.
func (c *cached) come(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming += max(n, 0)
}

func (c *cached) left(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming -= max(n, 0)
}

// shortage is what is missing, in bytes: of free space, and of the quota.
type shortage struct{ space, quota int64 }

func (m shortage) none() bool { return m.space <= 0 && m.quota <= 0 }

// missing tells what is missing for n bytes more on the disk, coming of them under
// the quota.
func (s *Store) missing(n, coming, floor int64) (m shortage, err error) {
	free, err := s.free(s.dir)
	if err != nil {
		return m, err
	}
	m.space = floor + s.promises.sum() + n - free
	c := &s.cached
	if c.quota == 0 || coming == exempt {
		return m, nil
	}
	if err := s.rank(false); err != nil {
		return m, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.quota = c.table.Bytes() + c.coming + coming - c.quota
	return m, nil
}

// room refuses n bytes that would eat into the reserve, and for which no room can
// be made: those for which none is kept, or others where somebody else has used it.
func (s *Store) room(n, kept int64) error {
	if err := s.enough(n); !errors.Is(err, ErrFull) {
		return err
	}
	s.promises.making.Lock()
	defer s.promises.making.Unlock()
	return s.makeRoom(pypi.Digest{}, max(n-kept, 0), exempt)
}

// enough refuses n bytes that would eat into the reserve, and makes no room.
func (s *Store) enough(n int64) error {
	if err := s.meta.Unwritable(); err != nil {
		return err
	}
	free, err := s.free(s.dir)
	if err == nil && free-n < s.floor() {
		err = s.refused(free, n)
	}
	return err
}

func (s *Store) refused(free, n int64) error {
	return fmt.Errorf("%w: %d MB are free, %d MB must stay free (storage.reserve), and this needs %d MB; make room, or narrow the selection", ErrFull, free>>20, s.floor()>>20, megabytes(n))
}

// makeRoom sees to it that n more bytes may come, coming of them under the quota.
// Nothing is removed for what cannot come anyway.
func (s *Store) makeRoom(spare pypi.Digest, n, coming int64) error {
	if err := s.meta.Unwritable(); err != nil {
		return err
	}
	m, err := s.missing(n, coming, s.floor())
	if err != nil || m.none() {
		return err
	}
	if err := s.remove(m, spare); err != nil {
		return err
	}
	if m, err = s.missing(n, coming, s.floor()); err != nil || m.none() {
		return err
	}
	if m.quota > 0 {
		return fmt.Errorf("%w: %d MB of what is only cached may be kept (storage.cache), and this needs %d MB; set it higher", ErrFull, s.cached.quota>>20, megabytes(coming))
	}
	free, err := s.free(s.dir)
	if err != nil {
		return err
	}
	return s.refused(free, n+s.promises.sum())
}

func megabytes(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// remove makes what is missing, if that is possible.
func (s *Store) remove(m shortage, spare pypi.Digest) error {
	if err := s.rank(false); err != nil {
		return err
	}
	parts, err := s.idle(spare)
	if err != nil {
		return err
	}
	aside, err := s.blobs.Quarantined()
	if err != nil {
		return err
	}
	beside := aside
	for _, p := range parts {
		beside += p.Have
	}
	s.cached.mu.Lock()
	most := s.cached.table.Bytes()
	s.cached.mu.Unlock()
	if m.quota > most || m.space > most+beside {
		return nil
	}
	if m.space > 0 && aside > 0 {
		if err := s.blobs.ClearQuarantine(); err != nil {
			return err
		}
		m.space -= aside
	}
	now := time.Now()
	old := slices.DeleteFunc(slices.Clone(parts), func(p Waiting) bool { return now.Sub(p.Written) < partialIdle })
	freed, err := s.forget(old, m.space)
	if err != nil {
		return err
	}
	m.space -= freed
	if need := max(m.space, m.quota); need > 0 {
		freed, err := s.evict(need + evict.Slack(s.cached.quota))
		if err != nil {
			return err
		}
		m.space -= freed
	}
	_, err = s.forget(parts, m.space)
	return err
}

// idle lists the partials that nobody is writing, in the order in which they go.
func (s *Store) idle(spare pypi.Digest) ([]Waiting, error) {
	parts, err := s.blobs.Waiting()
	if err != nil {
		return nil, err
	}
	parts = slices.DeleteFunc(parts, func(p Waiting) bool { return p.Open || p.Digest == spare })
	byWeight(parts, time.Now())
	return parts, nil
}

// byWeight puts the largest and oldest first: the most bytes, times the time for
// which nobody has gone on with them. A time in the future counts as now.
func byWeight(parts []Waiting, now time.Time) {
	weight := func(p Waiting) float64 {
		return float64(p.Have+1) * max(now.Sub(p.Written), time.Minute).Hours()
	}
	slices.SortStableFunc(parts, func(a, b Waiting) int { return cmp.Compare(weight(b), weight(a)) })
}

// forget removes partials until need bytes are free.
func (s *Store) forget(parts []Waiting, need int64) (freed int64, err error) {
	for _, p := range parts {
		if freed >= need {
			break
		}
		err := s.blobs.Expire(p.Digest)
		if errors.Is(err, ErrBusy) {
			continue // somebody goes on with it
		}
		if err != nil {
			return freed, err
		}
		s.log.Info("a download that nobody went on with was removed", "digest", p.Digest.String(), "bytes", p.Have, "written", p.Written)
		freed += p.Have
	}
	return freed, nil
}

// evict removes cached files until need bytes are free, the least valuable first.
func (s *Store) evict(need int64) (freed int64, err error) {
	c := &s.cached
	files := 0
	// A round that frees nothing has met files that the table knew wrongly.
	for idle := 0; freed < need && idle < 8; idle++ {
		c.mu.Lock()
		victims := c.table.Take(need-freed, c.now(), func(k evict.Key) bool { return c.reading[k] > 0 })
		c.mu.Unlock()
		if len(victims) == 0 {
			break
		}
		prefixes := make([][]byte, len(victims))
		for i, v := range victims {
			prefix := v.Key.Prefix()
			prefixes[i] = prefix[:]
		}
		fates, doomed, err := s.meta.Evict(prefixes)
		c.mu.Lock()
		for i, v := range victims {
			switch {
			case i >= len(fates):
				c.table.Put(v)
			case fates[i] == meta.Needed:
				c.table.Put(v)
				c.table.Use(v.Key, c.now()) // others come first, next time
			case fates[i] == meta.Gone:
				freed, files, idle = freed+v.Size, files+1, 0
			}
		}
		c.mu.Unlock()
		if err := errors.Join(err, s.unlink(doomed)); err != nil {
			return freed, full(err)
		}
	}
	if files > 0 {
		s.log.Info("cached files were removed to make room", "files", files, "bytes", freed)
	}
	return freed, nil
}

// unlink removes the bytes of the doomed. That they are gone is made durable with
// others (buryRemoved); a cut before that is met by recover.
func (s *Store) unlink(doomed []pypi.Digest) error {
	var errs []error
	for _, digest := range doomed {
		errs = append(errs, s.meta.Bury(digest, func() error { return s.blobs.Remove(digest) }))
	}
	s.recount(doomed...)
	c := &s.cached
	c.mu.Lock()
	c.removed = append(c.removed, doomed...)
	many := len(c.removed) >= 512
	c.mu.Unlock()
	if many {
		errs = append(errs, s.buryRemoved())
	}
	return errors.Join(errs...)
}

// buryRemoved ends the removal of what unlink has removed.
func (s *Store) buryRemoved() error {
	c := &s.cached
	c.mu.Lock()
	removed := c.removed
	c.removed = nil
	c.mu.Unlock()
	if len(removed) == 0 {
		return nil
	}
	err := s.blobs.SyncRemoved(removed...)
	if err == nil {
		err = s.meta.Buried(removed, s.gone)
	}
	if err != nil {
		c.mu.Lock()
		c.removed = append(c.removed, removed...)
		c.mu.Unlock()
	}
	return full(err)
}

// gone tells whether the bytes of a blob are not there.
func (s *Store) gone(digest pypi.Digest) bool {
	_, err := s.blobs.Size(digest)
	return errors.Is(err, blob.ErrNotFound)
}

// relieved does what writes metadata, and if there is no room for that, removes
// cached files and does it again.
func (s *Store) relieved(do func() error) error {
	err := do()
	if !errors.Is(err, ErrFull) {
		return err
	}
	if rerr := s.relieve(); rerr != nil {
		return err
	}
	return do()
}

// relieve removes cached files where the metadata have no room to be written, or
// the quota is exceeded. The rest of the reserve is no reason: what somebody else
// writes is not worth what may be the only copy behind a dead line.
func (s *Store) relieve() error {
	s.promises.making.Lock()
	defer s.promises.making.Unlock()
	m, err := s.missing(0, 0, s.meta.Need())
	if err != nil || m.none() {
		return err
	}
	m.quota = max(m.quota, 0)
	return s.remove(m, pypi.Digest{})
}
