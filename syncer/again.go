package syncer

import (
	"context"
	"errors"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/wire"
)

// Again brings in files that were here and that the disk has lost, one after the
// other, while the line is up. done are those that need not be asked for again:
// they are here, or no page names them any more. What failed waits for its next
// try, as any file does.
func (e *Engine) Again(ctx context.Context, items []Item) (done []Item, err error) {
	for _, item := range items {
		if ctx.Err() != nil || !e.Line.Up() {
			break
		}
		if e.opts.Private(item.Name) {
			continue // only who uploaded it has it
		}
		finished, itemErr := e.again(ctx, item)
		if finished {
			done = append(done, item)
		}
		if cause := wire.CauseOf(itemErr); cause == wire.Canceled || cause == wire.Budget {
			break
		}
		err = errors.Join(err, itemErr)
		if errors.Is(itemErr, ErrFull) {
			break
		}
	}
	return done, err
}

func (e *Engine) again(ctx context.Context, item Item) (finished bool, err error) {
	n, err := e.notes.get(item.Name)
	if err != nil || n.carried() || !due(n.Files[item.label()], e.now()) {
		return false, err // what was carried here only people can bring again
	}
	page, known, err := e.cat.Project(item.Name)
	if err != nil {
		return false, err // the page comes again with the next pass
	}
	listed, address, ok := Item{}, "", false
	var of *pypi.File
	if known {
		listed, of, address, ok = onPage(page, item)
	}
	if !ok || !e.opts.Rules.File(item.Name, of, e.now()).Given() {
		return true, nil // it is not to be here
	}
	listed.Pinned = item.Pinned
	if err := e.have(ctx, listed, address, budget.Background); err != nil {
		return errors.Is(err, ErrNotNamed), err
	}
	e.log.Info("a file that the disk had lost is here again", "project", item.Name, "filename", item.label())
	return true, nil
}

// onPage finds an item on a page, the file that it is or belongs to, and where it is
// to be had.
func onPage(page *pypi.Project, item Item) (listed Item, of *pypi.File, address string, ok bool) {
	for i := range page.Files {
		f := &page.Files[i]
		if item.Metadata {
			if listed, ok = metadataItem(page.Name, f); ok && listed.Digest == item.Digest {
				return listed, f, f.URL + ".metadata", true
			}
			continue
		}
		if listed, ok = fileItem(page.Name, f); ok && listed.Digest == item.Digest {
			return listed, f, f.URL, true
		}
	}
	return Item{}, nil, "", false
}
