package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

func syncCommand(f *flags) *cobra.Command {
	var opts app.SyncOptions
	c := &cobra.Command{
		Use: "sync", Short: "Bring in what the selection wants, now", Args: noArguments,
		Long: `Bring in what the selection wants, now.

Where a box serves this data folder, it does the work and this command shows it.
Stopping it loses nothing: the next one goes on where it stopped. The exit status
is 1 when something could not be had; "cheeseboard status" names it.`,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			out := newConsole(c.OutOrStdout(), c.ErrOrStderr())
			err = app.RunSync(c.Context(), settings, log, opts, out.event)
			return errors.Join(out.close(), err)
		},
	}
	c.Flags().BoolVar(&opts.AcceptRemovals, "accept-removals", false, "follow the upstream in whatever it removed")
	c.Flags().BoolVar(&opts.Plan, "plan", false, "only say what it would bring, and what that costs; fetches pages and metadata, no files")
	return c
}

func verifyCommand(f *flags) *cobra.Command {
	var opts app.VerifyOptions
	c := &cobra.Command{
		Use: "verify", Short: "Prove that the store is sound: every reference, every byte", Args: noArguments,
		Long: `Prove that the store is sound: every page can be read, every reference has its
bytes, every byte is referenced, and every digest holds.

When it is stopped, the next one goes on where it stopped. The exit status is 1
when a fault was found that was not repaired.`,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			out := newConsole(c.OutOrStdout(), c.ErrOrStderr())
			err = app.RunVerify(c.Context(), settings, log, opts, out.event)
			return errors.Join(out.close(), err)
		},
	}
	c.Flags().BoolVar(&opts.Repair, "repair", false, "mend what can be mended; what is lost is fetched by the next sync")
	c.Flags().BoolVar(&opts.Unclaimed, "unclaimed", false, "with --repair, after lost metadata and a sync: remove also files that no page names")
	c.Flags().BoolVar(&opts.Restart, "restart", false, "begin anew, even if an earlier verify was interrupted")
	return c
}

func statusCommand(f *flags) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use: "status", Short: "Say how the box is: what is here, the line, what could not be had", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			s, err := app.ReadStatus(c.Context(), settings, log)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			_, err = io.WriteString(c.OutOrStdout(), statusText(s, time.Now()))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "for machines")
	return c
}

func bytesText(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// statusText says how a box is in a page of plain lines.
func statusText(s app.Status, now time.Time) string {
	p := statusPage{now: now}
	p.box(s)
	p.bringing(s)
	p.problems(s)
	return p.String()
}

// statusPage is such a page while it is written.
type statusPage struct {
	strings.Builder
	now time.Time
}

func (b *statusPage) line(label, format string, a ...any) {
	fmt.Fprintf(&b.Builder, "%-9s "+format+"\n", append([]any{label}, a...)...)
}

func (b *statusPage) ago(t time.Time) string {
	return b.now.Sub(t).Round(time.Second).String() + " ago"
}

// box says what it is, how it is, and what is here.
func (b *statusPage) box(s app.Status) {
	state := "not serving (read from the data folder)"
	if s.Serving {
		state = "serving since " + s.Started.Format(time.DateTime)
	}
	b.line("box", "%s, cheeseboard %s, %s", state, s.Version, s.Data)
	b.line("health", "%s: %s", s.Health.Severity, s.Health.Summary)
	if s.Health.Action != "" {
		b.line("", "%s", s.Health.Action)
	}
	if m := s.Machine; m != nil {
		b.WriteString(imageText(*m))
	}
	b.line("here", "%d files of %d projects, %s; %s free", s.Store.Files, s.Store.Projects, bytesText(s.Store.Bytes), bytesText(s.Store.Free))
	if c := s.Cache; c.Files > 0 {
		within := "as much as the reserve leaves"
		if c.Quota > 0 {
			within = "at most " + bytesText(c.Quota)
		}
		b.line("cached", "%d of them and of their metadata, %s; %s", c.Files, bytesText(c.Bytes), within)
	}
	if i := s.Import; i != nil {
		b.line("import", "%s", i)
		for _, r := range i.Refused {
			b.line("", "%s: %s", r.Filename, r.Reason)
		}
	}
	if s.Root != "" {
		b.line("https", "root certificate at /ca.crt, SHA-256 %s", s.Root)
	}
	b.line("checked", "%s", scrubText(s.Scrub, b.ago))
	if n := len(s.Partials); n > 0 {
		var have int64
		for _, p := range s.Partials {
			have += p.Have
		}
		b.line("arriving", "%d files, %s of them here; they go on where they stopped", n, bytesText(have))
	}
}

// bringing says how the upstream is, and what comes from it.
func (b *statusPage) bringing(s app.Status) {
	switch v := s.Sync.Line; {
	case !s.Serving:
		b.line("upstream", "%s", s.Sync.Upstream)
	default:
		b.line("upstream", "%s; %s received", s.Sync.Upstream, bytesText(v.Received))
		b.line("", "%s", v.Sentence)
	}
	for _, from := range s.Sync.Sources {
		b.line("source", "%s", sourceText(from))
	}
	switch p := s.Sync.Progress; {
	case s.Sync.Syncing:
		b.line("sync", "under way: %s", progressText(p))
	case s.Sync.Last != nil:
		l := s.Sync.Last
		b.line("sync", "%s: %d projects, %d files brought in (%s), %d projects not complete", b.ago(l.Started), l.Projects, l.Files, bytesText(l.Bytes), l.Failed)
	case s.Sync.Selected == 0:
		b.line("sync", "nothing is selected (sync.projects); what clients ask for is fetched")
	default:
		b.line("sync", "not yet")
	}
	if w := s.Sync.Budget.Waiting; w != "" {
		b.line("line", "%s, until %s", w, s.Sync.Budget.Until.Format(time.DateTime))
	}
	if c := s.Sync.Budget.Cap; c > 0 {
		b.line("month", "%s of %s used", bytesText(s.Sync.Budget.Used), bytesText(c))
	}
	for _, w := range s.Sync.Wishes {
		b.line("wish", "%s, asked for %s; fetched when the line is back", w.Project, b.ago(w.Since))
	}
}

// problems names the other indexes, and what could not be had of any.
func (b *statusPage) problems(s app.Status) {
	problems := s.Sync.Problems
	for _, x := range s.Indexes {
		b.line("index", "%s: %s, from %s", x.Name, strings.Join(x.Projects, " "), x.Sync.Upstream)
		if s.Serving {
			b.line("", "%s", x.Sync.Line.Sentence)
		}
		problems = append(problems, x.Sync.Problems...)
	}
	for _, p := range problems {
		what := string(p.Project)
		if p.File != "" {
			what += " " + p.File
		}
		text := what + ": " + p.Reason
		if !p.NextTry.IsZero() {
			text += fmt.Sprintf(" (failed %d times, next try %s)", p.Failures, p.NextTry.Format(time.DateTime))
		}
		b.line("problem", "%s", text)
	}
}

// sourceText says how a mirror does, or a host of files that is in trouble.
func sourceText(s app.Source) string {
	text := "files host " + s.Address
	if s.Mirror {
		text = "mirror " + s.Address
	}
	text += ": " + bytesText(s.Delivered) + " received"
	if s.Lies > 0 {
		text += fmt.Sprintf(", wrong bytes %d times", s.Lies)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	if !s.NextTry.IsZero() {
		text += ", asked again from " + s.NextTry.Format(time.DateTime)
	}
	return text
}

// scrubText says when all files were last read again, and what was found.
func scrubText(s app.Scrub, ago func(time.Time) string) string {
	var b strings.Builder
	switch last := s.Last; {
	case !last.Ended.IsZero():
		fmt.Fprintf(&b, "all %d files read again %s: %d damaged", last.Blobs, ago(last.Ended), last.Damaged)
	case s.Off:
		b.WriteString("files are not read again (storage.scrub-rate is 0)")
	default:
		b.WriteString("not all files have been read again yet")
	}
	if r := s.Round; !r.Began.IsZero() {
		fmt.Fprintf(&b, "; now at %s", bytesText(r.Bytes))
		if s.Total > 0 {
			fmt.Fprintf(&b, " of %s", bytesText(s.Total))
		}
		if r.Damaged > 0 {
			fmt.Fprintf(&b, ", %d damaged", r.Damaged)
		}
		if s.Held {
			b.WriteString(", waiting while people install")
		}
	}
	if s.Lost > 0 {
		fmt.Fprintf(&b, "; %d lost files are still to be fetched again", s.Lost)
	}
	return b.String()
}

// costText says what a sync would bring.
func costText(projects int, c app.Cost) string {
	s := fmt.Sprintf("plan: %d projects looked at; a sync would bring %d files, %s", projects, c.Files, bytesText(c.Bytes))
	if c.Takes > 0 {
		s += fmt.Sprintf(", about %s at %s/s", c.Takes, bytesText(int64(c.Rate)))
	}
	if c.Unsized > 0 {
		s += fmt.Sprintf("; of %d of them the size is not known", c.Unsized)
	}
	if c.Untold > 0 {
		s += fmt.Sprintf("; what %d wheels need is known when they are here", c.Untold)
	}
	return s
}

// progressText says how far a sync is, and what it will still cost.
func progressText(p app.SyncProgress) string {
	s := fmt.Sprintf("%d of %d projects, %d of %d files, %s of %s", p.ProjectsDone, p.Projects, p.FilesDone, p.Files, bytesText(p.BytesDone), bytesText(p.Bytes))
	if p.Rate >= 1 {
		s += fmt.Sprintf(", %s/s", bytesText(int64(p.Rate)))
	}
	if p.Remaining > 0 {
		s += fmt.Sprintf(", about %s to go", p.Remaining)
	}
	return s
}
