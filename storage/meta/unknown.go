package meta

import "cheeseboard/storage/pypi"

// Members of a page that are not known stand at the end of a record, and only where
// there are any: a program that does not know them stops reading before.

// unknown writes those of files, and in a head those of the project.
func (w *writer) unknown(files []pypi.File, p *pypi.Project) {
	n := uint64(0)
	for i := range files {
		if files[i].Unknown != "" {
			n++
		}
	}
	if n == 0 && (p == nil || p.Unknown == "" && p.InMeta == "") {
		return
	}
	w.uint(n)
	for i := range files {
		if files[i].Unknown != "" {
			w.uint(uint64(i))
			w.text(string(files[i].Unknown))
		}
	}
	if p != nil {
		w.text(string(p.Unknown))
		w.text(string(p.InMeta))
	}
}

// unknown reads what writer.unknown wrote.
func (r *reader) unknown(files []pypi.File, p *pypi.Project) {
	if r.err != nil || len(r.rest) == 0 {
		return
	}
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		i := r.uint()
		text := r.text()
		if i >= uint64(len(files)) {
			r.fail()
			return
		}
		files[i].Unknown = pypi.Unknown(text)
	}
	if p != nil {
		p.Unknown = pypi.Unknown(r.text())
		p.InMeta = pypi.Unknown(r.text())
	}
}
