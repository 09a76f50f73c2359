package plan

import (
	"fmt"

	"cheeseboard/storage/pypi"
)

// Change is what a new page of the upstream's means for what is here.
type Change struct {
	Page    *pypi.Project // to be stored
	Removed []string      // names of files that are here and that Page no longer lists
	// Conflicts are entries that state other bytes under the name of a file that
	// is here. Names on an index are for ever: ours is kept.
	Conflicts []pypi.Refusal
}

// Reconcile lays an upstream's new page over the stored one. held tells which
// digests are here; old is nil for a project that is not known yet.
//
// With remove false, files that are here and that the new page leaves out stay
// listed (they still count in Removed): the answer is followed in all but its
// removals. A quarantined project keeps its files, unseen: quarantine can end.
func Reconcile(old, fresh *pypi.Project, held func(pypi.Digest) bool, remove bool) Change {
	page := *fresh
	page.Files = append([]pypi.File(nil), fresh.Files...)
	change := Change{Page: &page}
	if old == nil {
		return change
	}
	index := make(map[string]int, len(page.Files))
	for i := range page.Files {
		index[page.Files[i].Filename] = i
	}
	for _, f := range old.Files {
		digest, ok := f.Hashes.SHA256()
		here := ok && held(digest)
		i, listed := index[f.Filename]
		switch {
		case fresh.Status.State == pypi.StatusQuarantined && !listed:
			page.Files = append(page.Files, f)
		case !here:
		case !listed:
			change.Removed = append(change.Removed, f.Filename)
			if !remove {
				page.Files = append(page.Files, f)
			}
		default:
			if d, ok := page.Files[i].Hashes.SHA256(); !ok || d != digest {
				change.Conflicts = append(change.Conflicts, pypi.Refusal{
					Filename: f.Filename,
					Reason:   fmt.Sprintf("the upstream now states the sha256 %s for a file that is here with %s; ours is kept", orNone(d), digest),
				})
				page.Files[i] = f
				continue
			}
			// The same file has the same metadata.
			ours, ok := f.CoreMetadata.Hashes.SHA256()
			if theirs, stated := page.Files[i].CoreMetadata.Hashes.SHA256(); ok && stated && ours != theirs && held(ours) {
				change.Conflicts = append(change.Conflicts, pypi.Refusal{
					Filename: f.Filename,
					Reason:   fmt.Sprintf("the upstream now states the sha256 %s for its metadata, which is here with %s; ours is kept", theirs, ours),
				})
				page.Files[i].CoreMetadata = f.CoreMetadata
			}
		}
	}
	return change
}

func orNone(d pypi.Digest) string {
	if d.IsZero() {
		return "(none)"
	}
	return d.String()
}

// Allowed tells whether an answer, or the answers of one pass, may remove so
// many of the files that are here. limit is a fraction; at 1 everything may go.
func Allowed(held, removed int, limit float64) bool {
	return removed == 0 || float64(removed) <= limit*float64(held)
}
