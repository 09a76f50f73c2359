package meta

import (
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

// slots reads where the files of a stored page lie: the inline ones last.
func (d *DB) slots(txn *badger.Txn, h *head, name pypi.Name) ([]chunk, error) {
	if h == nil {
		return nil, nil
	}
	var out []chunk
	for _, c := range h.chunks {
		if err := d.readChunk(txn, name, &c); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return append(out, chunk{files: h.project.Files}), nil
}

// places is slots for those who want to know where each file is, and no more of
// it: of a large page that is little.
func (d *DB) places(txn *badger.Txn, h *head, name pypi.Name) ([]chunk, error) {
	named := func(files []pypi.File) []pypi.File {
		out := make([]pypi.File, len(files))
		for i := range files {
			out[i].Filename = strings.Clone(files[i].Filename)
		}
		return out
	}
	var out []chunk
	for _, c := range h.chunks {
		if err := d.readChunk(txn, name, &c); err != nil {
			return nil, err
		}
		c.files = named(c.files)
		out = append(out, c)
	}
	return append(out, chunk{files: named(h.project.Files)}), nil
}

// arrange lays the files of a page out: each where it was, new ones behind all
// others, in the order of the page. The last place is the head's; when it is full,
// what is in it becomes a chunk.
func arrange(old []chunk, files []pypi.File) (inline []pypi.File, chunks []chunk) {
	byName := make(map[string]int, len(files))
	for i := range files {
		byName[files[i].Filename] = i
	}
	placed := make([]bool, len(files))
	last := chunk{}
	index := uint32(0) // of the last chunk
	for n, s := range old {
		kept := chunk{index: s.index, generation: s.generation}
		for _, f := range s.files {
			if i, ok := byName[f.Filename]; ok && !placed[i] {
				placed[i] = true
				kept.files = append(kept.files, files[i])
			}
		}
		index = max(index, s.index)
		switch {
		case n == len(old)-1:
			last = kept
		case len(kept.files) > 0:
			chunks = append(chunks, kept)
		}
	}
	size := 0
	for i := range last.files {
		size += weight(&last.files[i])
	}
	for i := range files {
		if placed[i] {
			continue
		}
		w := weight(&files[i])
		if n := len(last.files); n == filesPerChunk || n > 0 && size+w > bytesPerChunk {
			index++
			chunks = append(chunks, chunk{index: index, files: last.files})
			last, size = chunk{}, 0
		}
		last.files = append(last.files, files[i])
		size += w
	}
	return last.files, chunks
}

func weight(f *pypi.File) int {
	n := 96 + len(f.Filename) + len(f.URL) + len(f.RequiresPython) + len(f.Yanked.Reason) + len(f.Provenance) + len(f.Unknown)
	for _, h := range slices.Concat(f.Hashes, f.CoreMetadata.Hashes) {
		n += len(h.Algorithm) + len(h.Hex)
	}
	return n
}
