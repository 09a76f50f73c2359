package meta

import (
	"fmt"

	"cheeseboard/storage/pypi"
)

// What looks at a page in parts: that of the largest project takes tens of
// megabytes of memory as a whole.

// Visit hands a page as it is at this moment to use: the project without its
// files, its generation (see Info), and what gives the files, which is good until
// use returns. At most a chunk of them is in memory. known is false, and use not
// called, where there is no page; the error is use's or of the store.
func (d *DB) Visit(name pypi.Name, use func(p *pypi.Project, generation uint64, files pypi.Files) error) (known bool, err error) {
	txn, done := d.view()
	defer done()
	h, _, err := d.head(txn, name)
	if h == nil || err != nil {
		return false, wrapRead(name, err)
	}
	_, generation, err := get(txn, nameKey(name))
	if err != nil {
		return false, wrapRead(name, err)
	}
	newest := h.project.Files
	files := func(yield func(*pypi.File, error) bool) {
		for _, c := range h.chunks {
			if err := d.readChunk(txn, name, &c); err != nil {
				yield(nil, wrapRead(name, err))
				return
			}
			for i := range c.files {
				if !yield(&c.files[i], nil) {
					return
				}
			}
		}
		for i := range newest {
			f := newest[i] // whoever changes it must not change the next look
			if !yield(&f, nil) {
				return
			}
		}
	}
	h.project.Files = nil
	if h.implied {
		if h.project.Versions, err = impliedBy(files); err != nil {
			return false, err
		}
	}
	return true, use(&h.project, generation, files)
}

// File looks for a file on a project's page by its digest and name, and reads no
// more of the page than it must: f is nil where the page names no such file.
// known is false where there is no page.
func (d *DB) File(name pypi.Name, digest pypi.Digest, filename string) (f *pypi.File, status pypi.Status, known bool, err error) {
	txn, done := d.view()
	defer done()
	h, _, err := d.head(txn, name)
	if h == nil || err != nil {
		return nil, status, false, wrapRead(name, err)
	}
	among := func(files []pypi.File) bool {
		for i := range files {
			if is, ok := files[i].Hashes.SHA256(); ok && is == digest && files[i].Filename == filename {
				f = &files[i]
				return true
			}
		}
		return false
	}
	if among(h.project.Files) {
		return f, h.project.Status, true, nil
	}
	for _, c := range h.chunks {
		if err := d.readChunk(txn, name, &c); err != nil {
			return nil, status, false, wrapRead(name, err)
		}
		if among(c.files) {
			break
		}
	}
	return f, h.project.Status, true, nil
}

// Sound tells whether a project's page is here, and whether with the addresses of
// its files, and reads it so far as to see that it can be: ErrDamaged. It needs
// little memory also for a large page.
func (d *DB) Sound(name pypi.Name) (known, addressed bool, err error) {
	txn, done := d.view()
	defer done()
	h, _, err := d.head(txn, name)
	if h == nil || err != nil {
		return false, false, wrapRead(name, err)
	}
	some := h.project.Files
	for i, c := range h.chunks {
		if i == 0 && len(some) == 0 {
			err = d.readChunk(txn, name, &c)
			some = c.files
		} else {
			var raw []byte
			if raw, _, err = get(txn, chunkKey(name, c)); err == nil {
				_, err = unseal(raw)
			}
		}
		if err != nil {
			return false, false, wrapRead(name, err)
		}
	}
	return true, len(some) == 0 || some[0].URL != "", nil
}

func wrapRead(name pypi.Name, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read project %s: %w", name, err)
}
