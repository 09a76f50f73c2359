package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cheeseboard/storage/evict"
	"cheeseboard/storage/pypi"
)

// usesName is the file that holds how often cached files were used.
const usesName = "uses"

// pendingUses is how many uses are remembered while the table is being made.
const pendingUses = 4096

// cached ranks the files that are here and that no selection holds. It lies in
// memory: Badger says what is here, and the file of uses what it is worth. The
// table is made when it is first needed, and made anew once a day, which also
// mends what it has missed.
type cached struct {
	quota int64 // bytes; 0: all but the reserve
	begun time.Time

	making sync.Mutex // held while the table is made

	mu      sync.Mutex
	table   *evict.Table // nil until it is made
	changed []pypi.Digest
	noting  bool // changes go into changed: the table is being made
	pending []evict.Key
	uses    int // counted since they were written
	reading map[evict.Key]int
	coming  int64 // bytes of cached files that are on their way
	removed []pypi.Digest
}

// now is in seconds, from the first on that nothing was used lately.
func (c *cached) now() uint32 { return evict.Grace + uint32(time.Since(c.begun)/time.Second) }

// Used counts a use of a file. It is quick, and writes nothing.
func (s *Store) Used(digest pypi.Digest) {
	c := &s.cached
	key := evict.KeyOf(digest)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses++
	switch {
	case c.table != nil:
		c.table.Use(key, c.now())
	case len(c.pending) < pendingUses:
		c.pending = append(c.pending, key)
	}
}

// Hold keeps a file from being removed for others until release is called, once
// or more often.
func (s *Store) Hold(digest pypi.Digest) (release func()) {
	c := &s.cached
	key := evict.KeyOf(digest)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading[key]++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.reading[key]--; c.reading[key] == 0 {
			delete(c.reading, key)
		}
	})
}

// rank makes the table if there is none, or anew. Readers and writers go on
// meanwhile: what they change is looked at again in the end.
func (s *Store) rank(anew bool) error {
	c := &s.cached
	c.making.Lock()
	defer c.making.Unlock()
	c.mu.Lock()
	old := c.table
	if old != nil && !anew {
		c.mu.Unlock()
		return nil
	}
	past, err := s.past(old)
	c.noting = true
	c.mu.Unlock()
	if err != nil {
		s.log.Warn("how often files were used is not known any more", "reason", err)
	}
	table := &evict.Table{}
	err = s.meta.Refs("", func(r Ref, err error) bool {
		switch key := evict.KeyOf(r.Digest); {
		case err != nil: // verify's matter
		case r.Pinned:
			table.Remove(key)
		default:
			table.AddAgain(key, r.Size, past)
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.changed
	c.noting, c.changed = false, nil
	if err != nil {
		return fmt.Errorf("list cached files: %w", err)
	}
	c.table = table
	for _, digest := range changed {
		s.recountOne(digest)
	}
	for _, key := range c.pending {
		table.Use(key, c.now())
	}
	c.pending = nil
	return nil
}

// past is what is known of files already: from the table, or from an earlier run.
func (s *Store) past(table *evict.Table) (evict.Past, error) {
	if table != nil {
		return evict.ParsePast(table.AppendPast(nil))
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, usesName))
	if errors.Is(err, fs.ErrNotExist) {
		return evict.Past{}, nil
	}
	if err != nil {
		return evict.Past{}, err
	}
	return evict.ParsePast(raw)
}

// keepUses writes down how often files were used, if any was. A power cut loses
// what came since: then some files go earlier or later than they should.
func (s *Store) keepUses() error {
	c := &s.cached
	c.mu.Lock()
	if c.table == nil || c.uses == 0 {
		c.mu.Unlock()
		return nil
	}
	uses, raw := c.uses, c.table.AppendPast(nil)
	c.mu.Unlock()
	if err := s.disk.WriteFile(filepath.Join(s.dir, usesName), raw, 0o644); err != nil {
		return fmt.Errorf("write down how often files were used: %w", full(err))
	}
	c.mu.Lock()
	c.uses -= uses
	c.mu.Unlock()
	return nil
}

// recount looks at files again whose references have changed.
func (s *Store) recount(digests ...pypi.Digest) {
	c := &s.cached
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noting {
		c.changed = append(c.changed, digests...)
	}
	if c.table == nil {
		return
	}
	for _, digest := range digests {
		s.recountOne(digest)
	}
}

// recountOne is recount with cached.mu held. Where the metadata cannot be read, the
// table stays as it is: whoever evicts looks again.
func (s *Store) recountOne(digest pypi.Digest) {
	names, err := s.meta.Holders(digest)
	if err != nil {
		return
	}
	c := &s.cached
	key, size, only := evict.KeyOf(digest), int64(0), false
	for _, name := range names {
		ref, ok, err := s.meta.Ref(name, digest)
		if err != nil || ref.Pinned {
			c.table.Remove(key)
			return
		}
		if ok {
			size, only = ref.Size, true
		}
	}
	if !only {
		c.table.Remove(key)
		return
	}
	c.table.Add(key, size, c.now())
}

// CachedTotals is what is here and only cached.
type CachedTotals struct {
	Files int   `json:"files"` // distributions and metadata
	Bytes int64 `json:"bytes"`
	Quota int64 `json:"quota"` // storage.cache; 0: all but the reserve
}

// Cached counts what is only cached. The first call reads every reference.
func (s *Store) Cached() (CachedTotals, error) {
	if err := s.rank(false); err != nil {
		return CachedTotals{}, err
	}
	c := &s.cached
	c.mu.Lock()
	defer c.mu.Unlock()
	return CachedTotals{Files: c.table.Len(), Bytes: c.table.Bytes(), Quota: c.quota}, nil
}

// Space is what there is to know of the disk's room, in bytes.
type Space struct {
	Free       int64 // also what is held for the metadata
	Reserve    int64 // of it, that files leave
	Need       int64 // of it, without which the metadata are not written
	Cached     int64 // that can be made free, as far as is known so far
	ReadOnly   bool  // the disk was full when the store was opened, or
	Unwritable bool  // it could not be written at all
}

// Space looks at the disk. It is quick.
func (s *Store) Space() (Space, error) {
	free, err := s.free(s.dir)
	c := &s.cached
	c.mu.Lock()
	defer c.mu.Unlock()
	space := Space{Free: free, Reserve: s.floor(), Need: s.meta.Need(), ReadOnly: s.ReadOnly(), Unwritable: s.meta.Unwritable() != nil}
	if c.table != nil {
		space.Cached = c.table.Bytes()
	}
	return space, err
}
