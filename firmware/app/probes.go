package app

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cheeseboard/firmware/health"
	"cheeseboard/storage"
	"cheeseboard/syncer/link"
)

// addProbes puts what there is to know so far on the board.
func (a *App) addProbes() {
	add := func(name string, probe func() health.Finding) {
		a.Health.Add(name, func() health.Finding { return a.probed(probe) })
	}
	add("storage", a.probeStorage)
	add("files", a.probeFiles)
	add("private", a.probePrivate)
	add("space", a.probeSpace)
	add("upstream", a.probeUpstream)
	a.Health.Add("clock", a.timing.probe)
	if a.config.TLS.Address != "" {
		a.Health.Add("https", a.secure.probe)
	}
	if a.modem != nil {
		a.Health.Add("modem", a.probeModem)
	}
	if len(a.config.Upstream.Mirrors) > 0 {
		add("mirrors", a.probeMirrors)
	}
}

// probed asks a probe unless the rooms are closed: whoever wants a verdict is not
// kept waiting until they are open.
func (a *App) probed(probe func() health.Finding) health.Finding {
	leave, wait := a.calls.try()
	switch {
	case leave != nil:
		defer leave()
		return probe()
	case wait != nil:
		return health.Finding{Severity: health.Reduced, Summary: "the data folder is being opened anew"}
	}
	return health.Finding{Severity: health.Reduced, Summary: "the data folder is closed"}
}

// probeStorage reads from the metadata, as each request does.
func (a *App) probeStorage() health.Finding {
	if _, _, err := a.Store.Info("cheeseboard"); err != nil {
		return health.Finding{Severity: health.Failed, Summary: "the metadata cannot be read: " + err.Error(), Action: "run cheeseboard verify"}
	}
	if err := a.storeTrouble(); err != nil {
		return health.Finding{
			Severity: health.Attention, Action: "start the machine anew, so that the disk is checked; if it happens again, replace the disk",
			Summary: "the disk does not take what is written to it (" + err.Error() + "): what is here is served, nothing new is stored",
		}
	}
	if aside, is, err := a.Store.Aside(); err == nil && is {
		return health.Finding{
			Severity: health.Attention, Action: "nothing by hand: let it reach its upstream once",
			Summary: fmt.Sprintf("the metadata were damaged on %s and were begun anew; the next complete sync brings back what is missing, and files that are here are not fetched again", aside.When.Format(time.DateTime)),
		}
	}
	if rebuilt, err := a.Store.Rebuilt(); err == nil && rebuilt {
		return health.Finding{
			Severity: health.Attention, Action: "nothing by hand: let it reach its upstream once",
			Summary: "the metadata are younger than the files: files that are here wait for their pages",
		}
	}
	return probeTables(a.Store.Tables())
}

// storeTrouble is why the disk did not take the last change; nil where it did, or is only
// full, of which the space tells.
func (a *App) storeTrouble() error {
	err := a.Store.Trouble()
	if errors.Is(err, storage.ErrFull) {
		return nil
	}
	return err
}

// probeTables tells when the metadata are about to outgrow a 32-bit program.
func probeTables(bytes, limit int64) health.Finding {
	f := health.Finding{Summary: "the metadata can be read"}
	const action = "choose fewer projects, or run the 64-bit program on this board if it can"
	switch {
	case limit > 0 && bytes > limit:
		f = health.Finding{Severity: health.Attention, Action: action, Summary: fmt.Sprintf(
			"the metadata have %d MB, and a 32-bit program can hold %d MB: what is here is served, nothing new is stored", bytes>>20, limit>>20)}
	case limit > 0 && bytes > limit/10*9:
		f = health.Finding{Severity: health.Attention, Action: action, Summary: fmt.Sprintf(
			"the metadata have %d MB of the %d MB that a 32-bit program can hold", bytes>>20, limit>>20)}
	}
	return f
}

// probeSpace tells a disk that is full from one that is as full as it may be: what
// is only cached makes room by itself.
func (a *App) probeSpace() health.Finding {
	space, err := a.Store.Space()
	if err != nil {
		return health.Finding{Severity: health.Failed, Summary: "the disk does not answer: " + err.Error(), Action: "look at the disk and its cable"}
	}
	attention := func(action, summary string, args ...any) health.Finding {
		return health.Finding{Severity: health.Attention, Action: action, Summary: fmt.Sprintf(summary, args...)}
	}
	const narrow = "make room, or narrow sync.projects"
	free, within := space.Free>>20, space.Free+space.Cached
	switch {
	case space.Unwritable:
		return attention("replace the disk; what is on it can still be copied",
			"the disk can only be read: what is here is served, and nothing can be written")
	case space.ReadOnly:
		return attention("make room on the disk that holds "+a.Store.Dir()+": it goes on by itself",
			"the disk is full: what is here is served, and nothing can be written (%d MB free, %d MB are needed)", free, space.Need>>20)
	case space.Free < space.Need:
		return attention("make room on the disk that holds "+a.Store.Dir()+": it goes on by itself",
			"the disk is full: what is here is served, nothing new is stored (%d MB free, the metadata need %d MB)", free, space.Need>>20)
	case within <= space.Reserve:
		return attention(narrow, "the disk is full up to the reserve (%d MB free): what is here is served, nothing new is fetched", free)
	case within <= 2*space.Reserve:
		return attention(narrow, "the disk is nearly full: %d MB free, of which %d MB stay free", free, space.Reserve>>20)
	case space.Free <= 2*space.Reserve:
		return health.Finding{Summary: fmt.Sprintf("%d MB free; %d MB that are only cached make room when it is needed", free, space.Cached>>20)}
	}
	return health.Finding{Summary: fmt.Sprintf("%d MB free", free)}
}

func (a *App) probeUpstream() health.Finding {
	v := a.Engine.Line.Verdict()
	f := health.Finding{Summary: a.Engine.Sentence(), Action: v.Action()}
	switch {
	case v.State == link.ClockWrong:
		f.Severity = health.Attention
	case !v.Up:
		f.Severity = health.Reduced
	}
	return f
}

// probeMirrors names those that sent wrong bytes. One that is merely down is no
// matter for a person: it is there for when others are.
func (a *App) probeMirrors() health.Finding {
	var liars []string
	for _, s := range a.Engine.Sources() {
		if s.Mirror && s.Lies > 0 && !s.NextTry.IsZero() {
			liars = append(liars, s.Address)
		}
	}
	if len(liars) == 0 {
		return health.Finding{Summary: "no mirror is known to have sent wrong bytes"}
	}
	return health.Finding{
		Severity: health.Attention, Action: "look at it, or take it out of upstream.mirrors",
		Summary: "wrong bytes came from " + strings.Join(liars, ", ") + "; they were thrown away, and it is not asked for now",
	}
}

// healthz answers 200 as long as the box serves what it has.
func (a *App) healthz() (int, any) {
	v := a.Health.Verdict()
	if v.Severity == health.Failed {
		return http.StatusServiceUnavailable, v
	}
	return http.StatusOK, v
}
