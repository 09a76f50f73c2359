package app

import (
	"context"
	"iter"
	"sync"

	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
)

// journal is the change feed for mirrors that follow this box. Its serials are
// the store's own generations, not the upstream's: a change counts from when it
// came here, which may be after changes with higher serials of the upstream.
type journal struct {
	store *storage.Store
	space space // of whose projects it tells

	mu      sync.Mutex
	version uint64 // of the store, at which last was found
	last    int64
}

// Last gives the highest generation of any project, there or deleted.
func (j *journal) Last(context.Context) (int64, error) {
	version := j.store.Version()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.version == version && version > 0 {
		return j.last, nil
	}
	last, err := j.store.LastChange(uint64(j.last))
	if err != nil {
		return 0, err
	}
	j.last, j.version = int64(last), version
	return j.last, nil
}

// lastKnown gives what Last does, as long as nothing was stored since it was found.
func (j *journal) lastKnown() (last int64, known bool) {
	version := j.store.Version()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last, j.version == version && version > 0
}

// Since gives what changed after a generation.
func (j *journal) Since(_ context.Context, serial int64) iter.Seq2[pypi.ListEntry, error] {
	return func(yield func(pypi.ListEntry, error) bool) {
		// No answer has more rows than this, and those of a whole index would fill
		// the memory.
		for since := uint64(max(serial, 0)); ; {
			list, err := j.store.Changes(since, pypi.MaxFeedRows)
			if err != nil {
				yield(pypi.ListEntry{}, err)
				return
			}
			for _, e := range list {
				name, ours := j.space.Out(e.Name)
				if !ours || !j.space.owns(name) {
					continue
				}
				if !yield(pypi.ListEntry{Name: name, Serial: int64(e.Generation)}, nil) {
					return
				}
			}
			if len(list) < pypi.MaxFeedRows {
				return
			}
			since = list[len(list)-1].Generation
		}
	}
}

// All gives every project that is there.
func (j *journal) All(context.Context) iter.Seq2[pypi.ListEntry, error] {
	return func(yield func(pypi.ListEntry, error) bool) {
		more := true
		err := j.store.Generations(func(kept pypi.Name, generation uint64) bool {
			name, ours := j.space.Out(kept)
			if !ours || !j.space.owns(name) {
				return true
			}
			more = yield(pypi.ListEntry{Name: name, Serial: int64(generation)}, nil)
			return more
		})
		if err != nil && more {
			yield(pypi.ListEntry{}, err)
		}
	}
}
