package hardship

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstreamtest"
)

// conclude ends everything that went wrong, makes the passes that are allowed,
// and judges the box by a new one that saw the honest index only.
func (c *course) conclude() {
	c.shut()
	c.up.SetBandwidth(0)
	for _, told := range c.always {
		told.Stop()
	}
	c.renew()
	c.config.Upstream.StallTimeout = config.Duration(20 * 1e9)
	// What is compared is not the patience of clients.
	c.config.Pull.Wait, c.config.Pull.Fresh, c.config.Line.Rate = config.Duration(10*1e9), 0, 0
	c.line.tap.update(func() { c.line.tap.round = -1 })
	fresh := c.config
	fresh.Data = c.TempDir() + "/fresh"
	want := c.outcome(open(c, fresh))
	for i, x := range c.schedule.always {
		c.always[i] = c.tell(x)
	}
	c.line.tap.update(func() { c.line.tap.round = len(c.rounds) })
	b := open(c, c.config, &c.silences)
	c.box = b
	for pass := 1; ; pass++ {
		summary, err := b.sync(app.SyncOptions{AcceptRemovals: true})
		c.note("pass %d at the end: %+v, %v\n%s", pass, summary, err, b.problems())
		c.sum.most = max(c.sum.most, pass)
		faults := c.compare(c.outcome(b), want)
		if err != nil && !errors.Is(err, app.ErrIncomplete) {
			faults = append(faults, err.Error())
		}
		if len(faults) == 0 {
			break
		}
		if pass == passes {
			c.Errorf("after %d passes\n%s", pass, strings.Join(faults, "\n"))
			break
		}
	}
	c.named_(b)
	b.sound() // before anything mends itself
	c.spent(b)
}

// renew makes the changes that an index must make before it can be told from the
// lies: the feed has news, and a page that was bent under its own ETag is another.
func (c *course) renew() {
	must(c, c.world.index.AddProject("elsewhere"))
	bent := make(map[string]bool)
	for _, r := range c.up.Requests().On(upstreamtest.OnPage("*")) {
		if name := strings.Trim(strings.TrimPrefix(r.Path, "/simple"), "/"); !bent[name] && told(r, "flip") && len(c.world.index.Filenames(name)) > 0 {
			bent[name] = true
			_, err := c.world.index.AddWheel(upstreamtest.Wheel{Name: name, Version: "0.0.1"})
			must(c, err)
		}
	}
}

// told tells whether a request was lied about in one of these ways.
func told(r upstreamtest.Request, kinds ...string) bool {
	return slices.ContainsFunc(r.Lies, func(lie string) bool {
		kind, _, _ := strings.Cut(lie, ":")
		return slices.Contains(kinds, kind)
	})
}

// result is what a box has in the end.
type result struct {
	problems problems
	known    map[string]bool
	pinned   map[string]string // labels of what the selection holds, with digests
	held     map[string]string // all that is here
	pages    map[string]string // as clients see them
}

func (c *course) outcome(b *box) result {
	out := result{known: make(map[string]bool), pinned: make(map[string]string), held: make(map[string]string), pages: make(map[string]string)}
	if b != c.box {
		_, err := b.sync()
		if err != nil && !errors.Is(err, app.ErrIncomplete) {
			c.Fatalf("the new box: %v\n%s", err, b.problems())
		}
	}
	out.problems = b.problems()
	for _, name := range b.names() {
		out.known[name] = true
		refs, err := b.Store.Held(pypi.Name(name))
		must(c, err)
		for digest, ref := range refs {
			label := ref.Filename
			if ref.Metadata { // that of several files can be the same
				label = name + " metadata " + digest.String()
			}
			out.held[label] = digest.String()
			if ref.Pinned {
				out.pinned[label] = digest.String()
			}
		}
	}
	for _, name := range c.world.projects {
		p := b.page(name)
		text := fmt.Sprintln(p.status, p.state)
		slices.SortFunc(p.files, func(a, b listed) int { return strings.Compare(a.name, b.name) }) // their order says nothing
		for _, f := range p.files {
			if c.up.Dialect.HTMLOnly {
				f.size = 0 // stated only of what is here, and has been counted
			}
			text += fmt.Sprintln(f.name, f.sha256, f.metadata, f.size, f.yanked)
		}
		out.pages[name] = text
	}
	return out
}

// others are the problems that are not of what is always lied about, nor of what
// the selection does not want (any more): a new box has not heard of that.
func (c *course) others(all problems, want result) problems {
	var out problems
	for _, p := range all {
		lied := len(c.schedule.always) > 0 && string(p.Project) == c.world.leaf
		if unwanted := p.Failures > 0 && p.File != "" && want.pinned[p.File] == ""; unwanted {
			continue
		}
		if !lied && (want.known[string(p.Project)] || len(want.problems.of(string(p.Project))) > 0) {
			out = append(out, p)
		}
	}
	return out
}

// named_ checks that exactly what is always lied about is named.
func (c *course) named_(b *box) {
	if len(c.schedule.always) == 0 {
		return
	}
	if of := b.problems().of(c.world.leaf); len(of) == 0 || of[0].Cause == "" || of[0].Reason == "" {
		c.Errorf("what is lied about for ever is named as\n%s", of)
	}
}

// compare holds what is here against what a new box has.
func (c *course) compare(got, want result) []string {
	var faults []string
	fault := func(format string, arguments ...any) { faults = append(faults, fmt.Sprintf(format, arguments...)) }
	always := len(c.schedule.always) > 0
	if left := c.others(got.problems, want); left.String() != want.problems.String() {
		fault("the status names\n%swant\n%s", left, want.problems)
	}
	for label, digest := range want.pinned {
		lied := always && (strings.HasPrefix(label, strings.ReplaceAll(c.world.leaf, "-", "_")+"-") || strings.HasPrefix(label, c.world.leaf+" "))
		if got.pinned[label] != digest && !lied {
			fault("%s is not held for the selection (%q here, %q held for it)", label, got.held[label], got.pinned[label])
		}
	}
	for label := range got.pinned {
		if want.pinned[label] == "" {
			fault("%s is held for the selection, and a new box does not hold it", label)
		}
	}
	there := pathsOf(c.world.index)
	for label, digest := range got.held {
		name, _, _ := strings.Cut(label, " metadata ")
		if there[digest] == "" && truth(c.world.index, label) != digest && !c.world.hidden[name] {
			fault("%s is here with the sha256 %s, which the upstream has not", label, digest)
		}
	}
	for _, name := range c.world.projects {
		if c.config.Pull.Enabled && got.pages[name] != want.pages[name] && !(always && name == c.world.leaf) {
			fault("the page of %s is\n%swant\n%s", name, got.pages[name], want.pages[name])
		}
	}
	return faults
}

// corrupting lies can make a box collect bytes that are not those of the digest.
var corrupting = []string{
	"flip", "resize", "garbage", "wrong-hashes", "wrong-metadata-hashes", "wrong-sizes", "endless", "end", "end-chunked", "half", "login-page", "status", "gzip-bomb", "content-range",
}

// spent checks that the line has carried no more than the faults explain, and
// that nothing is left that they do not.
func (c *course) spent(b *box) {
	c.Helper()
	ledger := c.book()
	for _, path := range slices.Sorted(maps.Keys(ledger)) {
		a := ledger[path]
		c.sum.delivered += a.delivered
		c.sum.payload += min(a.size, a.delivered)
		c.sum.bound += min(a.size, a.delivered) + a.excuse
		if a.delivered > a.size+a.excuse {
			c.Errorf("%d bytes came of %s, which has %d, and %d more are explained:\n%s", a.delivered, path, a.size, a.excuse, a)
		}
	}
	lied := 0
	for _, r := range c.up.Requests() {
		c.sum.lies += len(r.Lies)
		if told(r, corrupting...) {
			lied++
			lied += 2 * len(c.world.index.Filenames(strings.Trim(strings.TrimPrefix(r.Path, "/simple"), "/"))) // a page is about many
		}
	}
	aside, err := os.ReadDir(filepath.Join(c.config.Data, "quarantine"))
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(aside) > lied {
		c.Errorf("%d files are in quarantine, %d answers can account for them, %v", len(aside), lied, err)
	}
	status, err := b.Status()
	must(c, err)
	if len(status.Sync.Wishes) > 0 && len(c.schedule.always) == 0 {
		c.Errorf("wishes are left: %v", status.Sync.Wishes)
	}
}

// account is what the line carried of one file.
type account struct {
	size, delivered, excuse int64
	exchanges               []exchange
	requests                upstreamtest.Requests
}

func (a *account) String() string {
	text := ""
	for _, x := range a.exchanges {
		text += "  " + x.String() + "\n"
	}
	for _, r := range a.requests {
		text += "    " + r.String() + "\n"
	}
	return text
}

// spill is what can lie in the buffers of a connection that ends before it was
// read empty: by RST, by a kill, or since the box wanted no more of it.
const spill = 1 << 20

// restarting lies make a box begin a file again, or read over what it has.
var restarting = []string{
	"flip", "resize", "garbage", "half", "endless", "ignore-range", "refuse-ranges", "416", "content-range", "change-etag", "no-etag",
	"type", "login-page", "end", "end-chunked", "unknown-total", "no-length", "gzip-bomb",
}

// unheeded lies show in the head of an answer, and the box reads no further. What
// came with the head is lost.
var unheeded = []string{"trim"}

// mistold lies on a page make a box ask for files in vain, or remove them.
var mistold = []string{"flip", "wrong-sizes", "wrong-hashes", "wrong-metadata-hashes", "status", "empty", "files-on", "hostile", "garbage", "stale", "quarantined"}

// book reckons for each file what came and what explains more than its size.
func (c *course) book() map[string]*account {
	ledger := make(map[string]*account)
	for path, size := range c.sizes() {
		ledger[path] = &account{size: size}
	}
	mistoldOf := make(map[string]int)
	for _, r := range c.up.Requests() {
		if a := ledger[r.Path]; a != nil {
			a.requests = append(a.requests, r)
		} else if told(r, mistold...) {
			// Bytes that do not fit the page are fetched once more, in each pass in
			// which the page could not be had anew.
			mistoldOf[strings.Trim(strings.TrimPrefix(r.Path, "/simple"), "/")] = 2 * (len(c.rounds) + passes)
		}
	}
	for _, x := range c.line.tap.exchanges() {
		a := ledger[x.path]
		if a == nil || x.round < 0 || x.status != 200 && x.status != 206 {
			continue
		}
		if last := len(a.exchanges) - 1; last >= 0 && c.interrupted(a.exchanges[last].round) && a.exchanges[last].round != x.round {
			a.excuse += min(a.exchanges[last].body, spill)
		}
		a.exchanges = append(a.exchanges, x)
		a.delivered += x.body
		if x.end == "reset" {
			a.excuse += min(x.body, spill)
		}
	}
	for path, a := range ledger {
		project, _, _ := strings.Cut(filepath.Base(path), "-")
		a.excuse += min(a.size, spill) * int64(c.silences.about(filepath.Base(path)))
		a.excuse += a.size * int64(mistoldOf[strings.ReplaceAll(project, "_", "-")])
		for _, r := range a.requests {
			if told(r, restarting...) {
				a.excuse += a.size + spill
			} else if told(r, unheeded...) {
				a.excuse += spill
			}
		}
	}
	return ledger
}

// interrupted tells whether the box was ended in a round while files could be
// under way.
func (c *course) interrupted(round int) bool {
	return round < len(c.rounds) && (c.killed[round] || c.rounds[round].shut)
}

// sizes are the lengths of all files that the index has or had, by path.
func (c *course) sizes() map[string]int64 {
	for _, name := range c.world.projects {
		for _, file := range c.world.index.Filenames(name) {
			content, _ := c.world.index.Content(file)
			c.paths[c.world.index.Path(file)] = int64(len(content))
			if metadata, ok := c.world.index.Metadata(file); ok {
				c.paths[c.world.index.Path(file)+".metadata"] = int64(len(metadata))
			}
		}
	}
	return c.paths
}

// held are the paths of what is here.
func (c *course) held() map[string]bool {
	c.sizes()
	out := make(map[string]bool)
	if c.box == nil {
		return out
	}
	for _, name := range c.box.names() {
		refs, err := c.box.Store.Held(pypi.Name(name))
		must(c, err)
		for _, ref := range refs {
			out[c.pathOf(ref)] = true
		}
	}
	return out
}

func (c *course) pathOf(ref storage.Ref) string {
	path := c.world.index.Path(ref.Filename)
	if ref.Metadata {
		path += ".metadata"
	}
	return path
}

// notAgain checks that what was here before a round was not fetched in it.
func (c *course) notAgain(before map[string]bool, begun int) {
	c.Helper()
	mistoldOf := make(map[string]bool)
	for _, r := range c.up.Requests().On(upstreamtest.OnPage("*")) {
		if told(r, mistold...) {
			mistoldOf[strings.Trim(strings.TrimPrefix(r.Path, "/simple"), "/")] = true
		}
	}
	for _, x := range c.line.tap.exchanges()[begun:] {
		project, _, _ := strings.Cut(filepath.Base(x.path), "-")
		if x.isFile() && before[x.path] && !mistoldOf[strings.ReplaceAll(project, "_", "-")] {
			c.Errorf("it was here before, and was asked for again: %v", x)
		}
	}
}
