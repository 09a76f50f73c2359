package hardship

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// TestCatalogueIsCovered fails on a lie that nobody has thought of here.
func TestCatalogueIsCovered(t *testing.T) {
	kind := func(form string) string {
		name, _, _ := strings.Cut(form, ":")
		return name
	}
	tried := make(map[string]bool)
	var lies []string
	for _, row := range trials {
		lies = append(lies, row.lie)
	}
	for _, row := range feedTrials {
		lies = append(lies, row.lie)
	}
	for _, lie := range lies {
		tried[kind(lie)] = true
		if _, err := upstreamtest.ParseLie(lie); err != nil {
			t.Error(err)
		}
	}
	for _, known := range upstreamtest.Catalogue() {
		if !tried[kind(known.Form)] {
			t.Errorf("no trial tells the lie %s: %s", known.Form, known.Meaning)
		}
	}
}

// How a trial is made: told once or each time to a box that does not know the
// project, or each time to one that holds it.
type manner string

const (
	once    manner = "once"
	forever manner = "for ever"
	held    manner = "for ever, project held"
)

// together is how many trials run at the same time, beside those that wait for
// silence to be noticed.
const together = 20

// TestLies tells every lie about pages, files and metadata. The client gets the
// truth or nothing, the store holds the truth or nothing, the status says what
// is wrong, and when the lie ends the next sync makes everything good.
func TestLies(t *testing.T) {
	t.Parallel()
	type made struct {
		trial
		manner
		row string
	}
	var all []*made
	for i, row := range trials {
		if testing.Short() && (i%3 > 0 || row.waits()) {
			continue
		}
		all = append(all, &made{trial: row, manner: once})
		if testing.Short() {
			continue
		}
		all = append(all, &made{trial: row, manner: forever})
		if row.on == "page" {
			all = append(all, &made{trial: row, manner: held})
		}
	}
	slots := make(chan struct{}, together)
	var running sync.WaitGroup
	for _, m := range all {
		if !m.waits() {
			slots <- struct{}{}
		}
		running.Go(func() {
			if !m.waits() {
				defer func() { <-slots }()
			}
			t.Run(fmt.Sprintf("%s on %s %s", m.lie, m.on, m.manner), func(t *testing.T) {
				m.row = try(t, m.trial, m.manner)
			})
		})
	}
	running.Wait()
	table := fmt.Sprintf("%-26s %-8s %-22s | %-34s | %-34s | %-34s | %-9s | %s\n", "lie", "on", "told", "page", "file", "metadata", "held", "status")
	for _, m := range all {
		table += m.row
	}
	t.Log("what came of each lie:\n" + table)
}

// liar is one trial under way.
type liar struct {
	*box
	trial
	manner
	up    *upstreamtest.Server
	index *upstreamtest.Index
	told  *upstreamtest.Told

	wheel string // that the selection wants
}

const project = "roquefort"

// try makes one trial and gives its row of the table.
func try(t *testing.T, row trial, how manner) string {
	index := upstreamtest.NewIndex()
	x := &liar{trial: row, manner: how, index: index}
	for _, version := range []string{"1.0", "1.1"} {
		name, err := index.AddWheel(upstreamtest.Wheel{Name: project, Version: version, Payload: 200 << 10})
		must(t, err)
		x.wheel = name
	}
	x.up = upstream(t, index)
	c := settings(t, x.up, project)
	c.Sync.Latest = 0                    // both wheels
	c.Pull.Wait = config.Duration(limit) // what is tried here is not the patience of clients
	if row.waits() {
		c.Upstream.StallTimeout = silence
	}
	x.box = open(t, c)
	if how == held {
		x.synced()
	}
	times := 0
	if how == once {
		times = 1
	}
	x.tell(row.first, 1)
	x.told = x.tell(row.lie, times)
	var seen sight
	var err error
	if x.on != "page" && how == forever {
		// Together they wait only once for the downloader to give up.
		var syncing sync.WaitGroup
		syncing.Go(func() { _, err = x.sync() })
		seen = x.clients()
		syncing.Wait()
	} else {
		seen = x.clients()
		_, err = x.sync()
	}
	problems := x.problems()
	x.judgeStatus(problems, err)
	x.sound()
	x.honest(index, project)
	if x.told.Count() == 0 {
		t.Error("the lie was never told")
	}
	here := x.holdings(project)
	x.heals()
	return fmt.Sprintf("%-26s %-8s %-22s | %-34s | %-34s | %-34s | %-9s | %s\n", row.lie, row.on, how,
		seen.pages, seen.file, seen.metadata, fmt.Sprintf("%d blobs", len(here)), brief(problems))
}

// brief is the first problem, short enough for a table.
func brief(p problems) string {
	if len(p) == 0 {
		return "no problem"
	}
	s := fmt.Sprintf("%s: %s", p[0].Cause, p[0].Reason)
	if len(s) > 150 {
		s = s[:150] + "…"
	}
	return s
}

// tell tells a lie about what the trial is on; nothing for "".
func (x *liar) tell(text string, times int) *upstreamtest.Told {
	x.Helper()
	if text == "" {
		return nil
	}
	lie, err := upstreamtest.ParseLie(text)
	must(x, err)
	target := map[string]upstreamtest.Target{
		"page": upstreamtest.OnPage(project), "file": upstreamtest.OnFile(x.wheel), "metadata": upstreamtest.OnMetadata(x.wheel),
	}[x.on]
	return x.up.Tell(target, lie, times)
}

// sight is what clients saw, for the table.
type sight struct{ pages, file, metadata string }

// clients asks for the page in both forms, then for the file and its metadata as
// the page names them.
func (x *liar) clients() sight {
	x.Helper()
	asJSON := x.patient("page", func() page { return x.page(project) })
	asHTML := x.patient("page", func() page { return x.html(project) })
	s := sight{pages: asJSON.String() + " / " + asHTML.String(), file: "not listed", metadata: "not listed"}
	x.judgePage(asJSON)
	if x.manner != once {
		x.judgePage(asHTML)
	}
	if x.on != "page" && !asJSON.whole() {
		x.Fatalf("the page: %v\n%s", asJSON, asJSON.body)
	}
	p := asJSON
	if !p.whole() {
		p = asHTML // the second answer, when the lie was told once
	}
	one := p.file(x.wheel)
	if one.name == "" {
		return s
	}
	content, _ := x.index.Content(x.wheel)
	get := func(what, address string) answer {
		return x.patient(what, func() page { return page{answer: x.get(address)} }).answer
	}
	s.file = x.judge("file", get("file", one.url), content)
	if one.metadata != "" {
		metadata, _ := x.index.Metadata(x.wheel)
		s.metadata = x.judge("metadata", get("metadata", one.url+".metadata"), metadata)
	}
	return s
}

// patient asks again where an honest answer has begun, and takes longer on this
// machine than a client is kept waiting. Where nothing is to come, that it is on
// its way is an answer like any other.
func (x *liar) patient(what string, ask func() page) page {
	x.Helper()
	ctx := timeout(x)
	for {
		p := ask()
		pending := p.status == http.StatusServiceUnavailable && (strings.Contains(string(p.body), "is on its way here") || strings.Contains(string(p.body), "is being asked"))
		if !pending || x.on == what && x.want() == nothing {
			return p
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return p
		}
	}
}

// want is what the first client must get of what the trial is on.
func (x *liar) want() outcome {
	switch x.manner {
	case once:
		return x.once
	case forever:
		return x.forever
	}
	if x.hides {
		return partly
	}
	return truthful
}

func (x *liar) judgePage(p page) {
	x.Helper()
	got := truthful
	switch {
	case !p.whole():
		got = nothing
	default:
		for _, name := range x.index.Filenames(project) {
			f := p.file(name)
			switch {
			case f.name == "":
				got = max(got, partly)
			case f.sha256 != truth(x.index, name):
				got = believed
			}
		}
	}
	want := truthful
	if x.on == "page" {
		want = x.want()
	}
	if got != want {
		x.Errorf("the client's page is %v, want %v: %v\n%.300s", got, want, p, p.body)
	}
}

// judge holds an answer against the truth.
func (x *liar) judge(what string, a answer, content []byte) string {
	x.Helper()
	switch {
	case a.whole() && string(a.body) != string(content):
		x.Errorf("a client got a wrong %s, whole: %v", what, a)
	case a.status == 200 && len(a.body) >= len(content) && string(a.body) != string(content):
		x.Errorf("a client got all bytes of a wrong %s before it was broken off: %v", what, a)
	}
	if x.on == what {
		got := nothing
		if a.whole() {
			got = truthful
		}
		if want := x.want(); got != want && want != perhaps {
			x.Errorf("the client's %s is %v, want %v: %v", what, got, want, a)
		}
	}
	return a.String()
}

// judgeStatus checks that the status says what is wrong, why, and when it is
// tried again, and that the sync has ended accordingly.
func (x *liar) judgeStatus(all problems, err error) {
	x.Helper()
	troubles, guarded, found := 0, false, false
	want := map[manner]string{forever: x.status, held: x.heldStatus}[x.manner]
	for _, p := range all {
		text := string(p.Cause) + ": " + p.Reason
		found = found || want != "" && strings.Contains(text, want)
		guarded = guarded || strings.Contains(text, keptBack)
		if p.Failures == 0 {
			continue
		}
		troubles++
		if p.Project != project || p.Cause == "" || p.Reason == "" || p.Since.IsZero() || !p.NextTry.After(p.Since) {
			x.Errorf("the status names a problem without its project, cause, reason or next try: %+v", p)
		}
	}
	if x.manner == once {
		return // what one lie does to the first client, the sync may have mended
	}
	if found != (want != "") || want == "" && len(all) > 0 {
		x.Errorf("the status should name %q:\n%s", want, all)
	}
	if errors.Is(err, app.ErrIncomplete) != (troubles > 0 && !guarded) || errors.Is(err, syncer.ErrGuard) != guarded || err != nil && troubles == 0 && !guarded {
		x.Errorf("the sync has ended with %v, and the status is\n%s", err, all)
	}
}

// heals ends the lie: then one sync must bring everything.
func (x *liar) heals() {
	x.Helper()
	x.up.Truth()
	// Something else changes, so that the feed has news: it is read again from
	// before the last pass, and tells which page must be newer than what was told.
	must(x, x.index.AddProject("elsewhere"))
	x.synced()
	x.sound()
	x.honest(x.index, project)
	held := x.holdings(project)
	for _, label := range []string{x.wheel, x.wheel + ".metadata"} {
		if held[label] == "" {
			x.Errorf("after the lie has ended, %s is not here", label)
		}
	}
	if left := x.problems(); len(left) > 0 {
		x.Errorf("after the lie has ended, problems are left:\n%s", left)
	}
	for _, p := range []page{x.page(project), x.html(project)} {
		if want := x.index.Filenames(project); !p.whole() || !slices.Equal(p.names, want) {
			x.Errorf("after the lie has ended, the page is %v with %v, want %v", p, p.names, want)
		}
	}
}
