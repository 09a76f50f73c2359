package meta

import (
	"slices"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

// slots reads where the files of a stored page lie: the inline ones first.
func (d *DB) slots(txn *badger.Txn, h *head, name pypi.Name) ([]chunk, error) {
	if h == nil {
		return nil, nil
	}
	out := []chunk{{files: h.project.Files}}
	for _, c := range h.chunks {
		if err := d.readChunk(txn, name, &c); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// arrange lays the files of a page out: each where it was, new ones in the last
// place that has room, in the order of the page.
func arrange(old []chunk, files []pypi.File) (inline []pypi.File, chunks []chunk) {
	byName := make(map[string]int, len(files))
	for i := range files {
		byName[files[i].Filename] = i
	}
	placed := make([]bool, len(files))
	slots := make([]chunk, 0, len(old)+1)
	for _, s := range old {
		kept := chunk{index: s.index, generation: s.generation}
		for _, f := range s.files {
			if i, ok := byName[f.Filename]; ok && !placed[i] {
				placed[i] = true
				kept.files = append(kept.files, files[i])
			}
		}
		slots = append(slots, kept)
	}
	if len(slots) == 0 {
		slots = append(slots, chunk{})
	}
	last := len(slots) - 1
	size := 0
	for i := range slots[last].files {
		size += weight(&slots[last].files[i])
	}
	for i := range files {
		if placed[i] {
			continue
		}
		w := weight(&files[i])
		if n := len(slots[last].files); n == filesPerChunk || n > 0 && size+w > bytesPerChunk {
			slots = append(slots, chunk{index: slots[last].index + 1})
			last, size = last+1, 0
		}
		slots[last].files = append(slots[last].files, files[i])
		size += w
	}
	inline = slots[0].files
	for _, s := range slots[1:] {
		if len(s.files) > 0 {
			chunks = append(chunks, s)
		}
	}
	return inline, chunks
}

func weight(f *pypi.File) int {
	n := 96 + len(f.Filename) + len(f.URL) + len(f.RequiresPython) + len(f.Yanked.Reason) + len(f.Provenance)
	for _, h := range slices.Concat(f.Hashes, f.CoreMetadata.Hashes) {
		n += len(h.Algorithm) + len(h.Hex)
	}
	return n
}
