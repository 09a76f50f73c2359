package syncer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// Where all pages are wanted, a pass ends by bringing those of the upstream's list
// of projects that are not here, and those of which its feed says that they have
// changed: pages and nothing else, many in one write. What is here says how far it
// came: a pass that was cut off goes on there.
//
// The addresses of the files are not kept: on PyPI they are 32 bytes of each that
// nothing tells, a third of all. Nothing is noted. Who asks for such a page has it
// fetched like one that is new, and then it is like any other.

const (
	bulkGroup   = 200    // pages in one write
	bulkFiles   = 16_000 // files of them, after which it is made at once
	bulkAhead   = 4000   // names that are looked up at once
	bulkWorkers = 16
	bulkFails   = 20 // pages that fail one after the other before it gives up for now
)

// allPages brings pages until all are here, or the line or the disk ends it. Like
// roll it is no part of what the pass is for.
func (p *pass) allPages(told news) {
	if p.Engine.opts.Bulk == nil || p.Engine.opts.Roll == nil {
		return
	}
	note, err := p.rollNote()
	if err != nil || note.Whole == nil {
		return
	}
	done := p.working("the pages of all projects")
	defer done()
	var changed []pypi.Name
	for name, serial := range told.due {
		if stored, known, err := p.cat.Serial(name); err == nil && known && stored < serial && p.wants[name] == nil && !p.Engine.opts.Private(name) {
			changed = append(changed, name)
		}
	}
	b := &bulk{pass: p}
	err = b.bring(changed)
	for last := pypi.Name(""); err == nil; {
		var names []pypi.Name
		if names, last, err = p.absentAfter(note.Whole.List, last); err != nil || len(names) == 0 {
			break
		}
		err = b.bring(names)
	}
	if b.stored > 0 || err != nil {
		p.log.Info("pages of projects that nobody asked for were brought", "pages", b.stored, "complete", err == nil, "reason", err)
	}
}

// absentAfter lists names behind last whose page is not here, and gives the name
// where it stopped to look: some at a time, since the store must not be held open
// while the line works.
func (p *pass) absentAfter(list byte, last pypi.Name) (names []pypi.Name, end pypi.Name, err error) {
	end = last
	var failed error
	err = p.Engine.opts.Bulk.Roll(list, func(name pypi.Name) bool {
		if name <= last {
			return true
		}
		end = name
		var known bool
		if _, known, failed = p.cat.Serial(name); failed == nil && !known && !p.Engine.opts.Private(name) {
			names = append(names, name)
		}
		return failed == nil && len(names) < bulkAhead
	})
	return names, end, errors.Join(failed, err)
}

// bulk gathers pages and stores them in groups.
type bulk struct {
	*pass
	stored int

	mu    sync.Mutex
	group []*pypi.Project
	files int
	fails int // one after the other
}

// bring fetches pages and stores them. A page that cannot be had is left for the
// next pass.
func (b *bulk) bring(names []pypi.Name) error {
	ctx, stop := context.WithCancelCause(b.ctx)
	defer stop(nil)
	todo := make(chan pypi.Name)
	var workers sync.WaitGroup
	for range min(bulkWorkers, b.Engine.opts.Connections) {
		workers.Go(func() {
			for name := range todo {
				if err := b.fetch(ctx, name); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, name := range names {
		if ctx.Err() == nil {
			todo <- name
		}
	}
	close(todo)
	workers.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	// Also at the end: what came over the line is kept.
	return errors.Join(context.Cause(ctx), b.flush())
}

// fetch brings one page. Its error ends the bringing.
func (b *bulk) fetch(ctx context.Context, name pypi.Name) error {
	if err := b.admit(budget.Background); err != nil {
		return err
	}
	answer, err := b.index.Project(budget.With(ctx, budget.Background), name, upstream.Validators{}, nil)
	b.met(link.Of(b.index.Address(), b.index.Address(), err))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case wire.CauseOf(err) == wire.Gone:
		return nil
	case ours(err):
		return err
	case err != nil:
		if b.fails++; b.fails >= bulkFails {
			return fmt.Errorf("%d pages failed one after the other: %w", b.fails, err)
		}
		return nil
	}
	b.fails = 0
	for i := range answer.Project.Files {
		answer.Project.Files[i].URL = ""
	}
	b.group = append(b.group, answer.Project)
	b.files += len(answer.Project.Files)
	if len(b.group) < bulkGroup && b.files < bulkFiles {
		return nil
	}
	return b.flush()
}

// flush stores the group, without pages of which something has come here
// meanwhile: a client's look at them knows more. b.mu is held.
func (b *bulk) flush() error {
	group := b.group[:0:0]
	for _, page := range b.group {
		held, err := b.cat.Held(page.Name)
		if err != nil {
			return err
		}
		n, err := b.notes.peek(page.Name)
		if err != nil {
			return err
		}
		stored, _, err := b.cat.Serial(page.Name)
		if err == nil && len(held) == 0 && !n.carried() && (stored == 0 || stored < page.LastSerial) {
			group = append(group, page)
		}
	}
	b.group, b.files = nil, 0
	if len(group) == 0 {
		return nil
	}
	errs := b.Engine.opts.Bulk.PutPages(group)
	b.stored += len(group)
	for i, err := range errs {
		if err == nil {
			continue
		}
		b.stored--
		if errors.Is(err, ErrFull) {
			return err
		}
		b.log.Error("a page cannot be stored", "project", group[i].Name, "reason", err)
	}
	return nil
}
