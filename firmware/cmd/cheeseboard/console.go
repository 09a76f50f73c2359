package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"cheeseboard/firmware/app"
)

// plainEvery is the time between two lines of progress where there is no
// terminal.
const plainEvery = 5 * time.Second

// console shows a command's events: bars to people on a terminal, plain lines
// elsewhere. Results go to out, progress to progress.
type console struct {
	out io.Writer

	mu      sync.Mutex
	bars    *mpb.Progress // nil where there is no terminal
	bar     *mpb.Bar
	label   string
	plain   io.Writer
	last    time.Time
	failure error
}

func newConsole(out, progress io.Writer) *console {
	c := &console{out: out, plain: progress, last: time.Now()}
	if f, ok := progress.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		c.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithAutoRefresh())
	}
	return c
}

// event shows one event. It may be called from several goroutines.
func (c *console) event(e app.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.Sync != nil:
		p := e.Sync
		c.progress("sync: "+progressText(*p), p.BytesDone, p.Bytes)
	case e.Verify != nil:
		p := e.Verify
		c.progress(fmt.Sprintf("verify: %s, %d blobs hashed, %d faults", p.Phase, p.Blobs, p.Findings), p.Done, p.Total)
	case e.Problem != nil:
		c.print("%s: %s\n", words(string(e.Problem.Project), e.Problem.File), e.Problem.Reason)
	case e.Note != "":
		c.note(fmt.Fprintln(c.plain, "note:", e.Note))
	case e.Finding != nil:
		f := e.Finding
		mended := ""
		if f.Repaired {
			mended = " (repaired)"
		}
		c.print("%s: %s: %s%s\n", f.Fault, words(f.Project, f.What), f.Detail, mended)
	case e.Synced != nil && e.Synced.Cost != nil:
		c.print("%s\n", costText(e.Synced.Projects, *e.Synced.Cost))
	case e.Synced != nil:
		s := e.Synced
		c.print("sync: %d projects looked at, %d files brought in (%s; %s over the line) in %s, %d removed, %d projects not complete\n",
			s.Projects, s.Files, bytesText(s.Bytes), bytesText(s.Received), s.Took.Round(10*time.Millisecond), s.Removed, s.Failed)
	case e.Move != nil:
		p := e.Move
		c.progress(fmt.Sprintf("move: %d blobs, %s of %s", p.Blobs, bytesText(p.Done), bytesText(p.Total)), p.Done, p.Total)
	case e.Moved != nil:
		c.print("%s", movedText(*e.Moved))
	case e.Update != nil:
		p := e.Update
		c.progress(fmt.Sprintf("update: %s, %s of %s", p.Stage, bytesText(p.Done), bytesText(p.Total)), p.Done, p.Total)
	case e.Updated != nil:
		c.print("%s\n", updatedText(*e.Updated))
	case e.Restored != nil:
		r := e.Restored
		c.print("restore: %d projects as of %s; %d files are here, %d of them taken over anew; %d are not here and come with the next sync\n",
			r.Projects, r.Header.Made.Local().Format(time.DateTime), r.Files, r.Claimed, r.Lost)
		if r.Private > 0 {
			c.print("restore: %d private files came with the backup\n", r.Private)
		}
	case e.Verified != nil:
		v := e.Verified
		how := "complete"
		if !v.Completed {
			how = "interrupted; the next verify goes on here"
		}
		c.print("verify: %d blobs, %s hashed, %d faults, %d of them not repaired (%s)\n", v.Blobs, bytesText(v.Bytes), v.Findings, v.Unmended, how)
	}
}

// movedText says what a move did, and what is to be set.
func movedText(m app.Moved) string {
	old := "is left as it was, with the mark MOVED in it; remove it when you like, but for that mark"
	if m.Removed {
		old = "is removed, but for the mark MOVED that leads to the new one"
	}
	return fmt.Sprintf(`move: %d blobs, %s, are in %s; requests waited for %s
The old folder %s %s.
Now set, where this box is configured:
  data = %q
`, m.Files, bytesText(m.Bytes), m.To, m.Paused.Round(time.Millisecond), m.From, old, m.To)
}

// words joins two names with a space, where both are there and differ.
func words(a, b string) string {
	if a == b {
		return a
	}
	return strings.TrimSpace(a + " " + b)
}

// progress draws the bar anew, or writes a line now and then.
func (c *console) progress(label string, done, total int64) {
	c.label = label
	if c.bars == nil {
		if time.Since(c.last) >= plainEvery {
			c.last = time.Now()
			c.note(fmt.Fprintln(c.plain, label))
		}
		return
	}
	if c.bar == nil {
		c.bar = c.bars.AddBar(0,
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { c.mu.Lock(); defer c.mu.Unlock(); return c.label + " " })),
			mpb.AppendDecorators(decor.NewPercentage("%d")),
			mpb.BarRemoveOnComplete())
	}
	c.bar.SetTotal(max(total, 1), false)
	c.bar.SetCurrent(done)
}

func (c *console) print(format string, a ...any) {
	c.drop()
	c.note(fmt.Fprintf(c.out, format, a...))
}

// drop takes the bar away, so that lines stand by themselves.
func (c *console) drop() {
	if c.bar == nil {
		return
	}
	bar := c.bar
	c.bar = nil
	c.mu.Unlock() // the bar asks for its label while it goes
	bar.Abort(true)
	bar.Wait()
	c.mu.Lock()
}

func (c *console) note(_ int, err error) {
	c.failure = errors.Join(c.failure, err)
}

// close ends the bars, and tells whether all could be written.
func (c *console) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	if c.bars != nil {
		c.mu.Unlock()
		c.bars.Wait()
		c.mu.Lock()
	}
	return c.failure
}
