package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cheeseboard/firmware/health"
	"cheeseboard/storage"
)

// scrubRetry is how long a scrub that could not look waits before it looks again.
const scrubRetry = 10 * time.Minute

// busy tells whether work that can wait should: people install, or the board is
// hot.
func (a *App) busy() bool {
	if a.Busy != nil {
		return a.Busy()
	}
	return a.visits.now() || a.Hot != nil && a.Hot()
}

// scrub reads what is on the disk again, until ctx ends. Where the metadata turn
// out to be damaged, it has them set aside.
func (a *App) scrub(ctx context.Context) {
	rate := int64(a.config.Storage.ScrubRate)
	if rate == 0 || a.Store.ReadOnly() {
		return
	}
	for ctx.Err() == nil {
		err := a.Store.Scrub(ctx, storage.ScrubOptions{
			Rate: rate, Interval: time.Duration(a.config.Storage.ScrubInterval),
			Hold: a.busy, Lost: a.errand.poke,
		})
		if errors.Is(err, storage.ErrDamaged) {
			a.log.Error("the metadata are damaged; the data folder is opened anew", "reason", err)
			a.renew(ctx, storage.Options{Mend: true, Thorough: true}) // which looks at all of them first
			return
		}
		if err != nil {
			a.log.Error("what is on the disk could not be read again", "reason", err)
		}
		timer := time.NewTimer(scrubRetry)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// tellOfDamage is how long damage that was mended is told of.
const tellOfDamage = 30 * 24 * time.Hour

// probeFiles tells what reading the files again has found.
func (a *App) probeFiles() health.Finding {
	state, err := a.Store.Scrubbed()
	if err != nil {
		return health.Finding{Severity: health.Attention, Summary: "what was read again cannot be told: " + err.Error(), Action: "run cheeseboard verify"}
	}
	lost, err := a.Store.Lost()
	if err != nil {
		return health.Finding{Severity: health.Attention, Summary: "what is lost cannot be told: " + err.Error(), Action: "run cheeseboard verify"}
	}
	lost = slices.DeleteFunc(lost, func(r storage.Ref) bool { return a.ours.has(r.Name) }) // see probePrivate
	recent := 0
	for _, d := range state.Damages {
		if since := time.Since(d.When); since >= 0 && since < tellOfDamage {
			recent++
		}
	}
	const action = "the disk may be wearing out: have another one ready (cheeseboard move)"
	switch {
	case len(lost) > 0:
		return health.Finding{
			Severity: health.Attention, Action: action,
			Summary: fmt.Sprintf("the disk has lost or changed files: %d are not here again yet; they are fetched when the line allows it", len(lost)),
		}
	case state.Trouble != "":
		return health.Finding{
			Severity: health.Attention, Action: "look at the disk and its cable; if this comes again, have another disk ready (cheeseboard move)",
			Summary: "the files cannot be read again: " + state.Trouble,
		}
	case recent > 0:
		return health.Finding{
			Severity: health.Attention, Action: action,
			Summary: fmt.Sprintf("the disk has lost or changed %d files in the last 30 days; all are here again", recent),
		}
	case state.Last.Ended.IsZero():
		return health.Finding{Summary: "the files have not all been read again yet"}
	}
	return health.Finding{Summary: "all files were read again, and sound, by " + state.Last.Ended.Format(time.DateTime)}
}
