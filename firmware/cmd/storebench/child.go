package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"cheeseboard/firmware/app"
	"cheeseboard/storage"
	"cheeseboard/storage/population"
	"cheeseboard/storage/pypi"
)

// childOptions say what a child has to do.
type childOptions struct {
	dir       string
	group     int
	addresses bool
	projects  int
	day       int
}

// outcome is what a child tells, as JSON.
type outcome struct {
	Pages   int     `json:"pages,omitempty"`
	Files   int     `json:"files,omitempty"`
	OpenMS  float64 `json:"open_ms,omitempty"`
	CloseMS float64 `json:"close_ms,omitempty"`
	CPU     float64 `json:"cpu,omitempty"`     // seconds
	Seconds float64 `json:"seconds,omitempty"` // of its work
	Wrote   int64   `json:"wrote,omitempty"`   // bytes of pages that it made dirty: write_bytes of /proc/self/io

	Cold, Warm                spread
	Render, RenderGzip, Fetch float64 // microseconds of CPU for a page: read and rendered, compressed too, only read
}

// spread is what was seen of many reads.
type spread struct {
	P50, P99 float64 // milliseconds
	Faults   float64 // major faults for each
}

func runChild(_ context.Context, what string, o *childOptions) error {
	limit := int64(app.MemoryIngesting)
	if what == "read" || what == "boltread" {
		limit = app.MemoryServing
	}
	app.Tune(limit)
	var result outcome
	var err error
	switch what {
	case "ingest":
		result, err = ingestChild(o, os.Stdin)
	case "read":
		result, err = readChild(o)
	case "compare":
		result, err = compareChild(o)
	case "settle":
		err = settleChild(o)
	case "bolt":
		result, err = boltChild(o, os.Stdin)
	case "boltread":
		result, err = boltReadChild(o)
	default:
		err = fmt.Errorf("there is no child called %s", what)
	}
	if err != nil {
		return err
	}
	result.CPU, result.Wrote = cpu(), wrote()
	return json.NewEncoder(os.Stdout).Encode(result)
}

func milliseconds(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }

// ingestChild stores the pages that come in, so many in one transaction.
func ingestChild(o *childOptions, in io.Reader) (r outcome, err error) {
	begun := time.Now()
	store, err := storage.Open(o.dir, storage.Options{Reserve: -1})
	if err != nil {
		return r, err
	}
	r.OpenMS = milliseconds(begun)
	source := &pageReader{Reader: bufio.NewReaderSize(in, 256<<10)}
	upstream, err := source.part()
	address := string(upstream)
	var group []storage.Update
	weight := 0
	flush := func() error {
		err := errors.Join(store.PutProjects(group)...)
		group, weight = nil, 0
		return err
	}
	for err == nil {
		page, etag, readErr := source.next()
		if errors.Is(readErr, io.EOF) {
			break
		}
		if err = readErr; err != nil {
			break
		}
		for i := range page.Files {
			if !o.addresses {
				page.Files[i].URL = ""
			}
		}
		group = append(group, storage.Update{Project: page, State: &storage.State{Value: noteOf(address, etag)}})
		r.Pages, r.Files, weight = r.Pages+1, r.Files+len(page.Files), weight+len(page.Files)
		if len(group) == o.group || weight > heavy {
			err = flush()
		}
	}
	if err == nil {
		err = flush()
	}
	r.Seconds = time.Since(begun).Seconds()
	closing := time.Now()
	err = errors.Join(err, store.Close())
	r.CloseMS = milliseconds(closing)
	return r, err
}

// heavy is how many files a group may have before it is stored, full or not: the
// largest project has more, and must not wait in memory with others.
const heavy = 16_000

// settleChild keeps the store open until nothing is merged any more: until its list
// of tables has not grown for a while.
func settleChild(o *childOptions) error {
	store, err := storage.Open(o.dir, storage.Options{Reserve: -1})
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	size, since := int64(-1), time.Now()
	for err == nil && time.Since(since) < 3*time.Second {
		var info os.FileInfo
		if info, err = os.Stat(filepath.Join(o.dir, "meta", "MANIFEST")); err == nil && info.Size() != size {
			size, since = info.Size(), time.Now()
		}
		<-tick.C
	}
	return errors.Join(err, store.Close())
}

// readChild reads pages that nobody has read since the kernel forgot them, then
// the same again, and renders them.
func readChild(o *childOptions) (r outcome, err error) {
	begun := time.Now()
	store, err := storage.Open(o.dir, storage.Options{Reserve: -1})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r.OpenMS = milliseconds(begun)
	p := population.New(seed, o.projects)
	chance := rand.New(rand.NewPCG(seed, 1))
	names := make([]pypi.Name, min(1000, o.projects))
	for i := range names {
		names[i] = p.Name(chance.IntN(o.projects))
	}
	read := func(n pypi.Name) (*pypi.Project, error) {
		page, ok, err := store.Project(n)
		if err == nil && !ok {
			err = fmt.Errorf("%s is not there", n)
		}
		return page, err
	}
	for _, s := range []*spread{&r.Cold, &r.Warm} {
		if *s, err = reads(names, func(n pypi.Name) error { _, err := read(n); return err }); err != nil {
			return r, err
		}
	}
	var plain []byte
	var packed bytes.Buffer
	zipper := gzip.NewWriter(&packed)
	for _, c := range []struct {
		into *float64
		do   func(*pypi.Project) error
	}{
		{&r.Fetch, func(*pypi.Project) error { return nil }},
		{&r.Render, func(page *pypi.Project) error {
			plain = pypi.AppendProjectJSON(plain[:0], page, localLink)
			return nil
		}},
		{&r.RenderGzip, func(page *pypi.Project) error {
			plain = pypi.AppendProjectJSON(plain[:0], page, localLink)
			packed.Reset()
			zipper.Reset(&packed)
			_, err := zipper.Write(plain)
			return errors.Join(err, zipper.Close())
		}},
	} {
		before := cpu()
		for _, n := range names {
			page, err := read(n)
			if err == nil {
				err = c.do(page)
			}
			if err != nil {
				return r, err
			}
		}
		*c.into = (cpu() - before) * 1e6 / float64(len(names))
	}
	r.Pages = len(names)
	return r, nil
}

// reads times a read of each.
func reads[T any](list []T, read func(T) error) (s spread, err error) {
	times := make([]float64, 0, len(list))
	faults := majorFaults()
	for _, one := range list {
		at := time.Now()
		if err := read(one); err != nil {
			return s, err
		}
		times = append(times, milliseconds(at))
	}
	slices.Sort(times)
	s = spread{P50: times[len(times)/2], P99: times[len(times)*99/100]}
	s.Faults = float64(majorFaults()-faults) / float64(len(list))
	return s, nil
}

// localLink is as long as those that the box gives out.
func localLink(f *pypi.File) string {
	digest, _ := f.Hashes.SHA256()
	return "../../files/some-project/" + digest.String() + "/" + f.Filename
}

// compareChild reads every page and compares it with the population.
func compareChild(o *childOptions) (r outcome, err error) {
	store, err := storage.Open(o.dir, storage.Options{Reserve: -1})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p := population.New(seed, o.projects)
	more := make(map[int]int)
	for day := range o.day {
		for _, i := range p.Changed(day, dayPart) {
			more[i]++
		}
	}
	var got, want []byte
	for i := range p.Len() {
		expected := p.Project(i, more[i])
		for j := range expected.Files {
			if !o.addresses {
				expected.Files[j].URL = ""
			}
		}
		page, ok, err := store.Project(expected.Name)
		if err == nil && !ok {
			err = errors.New("it is lost")
		}
		if err != nil {
			return r, fmt.Errorf("project %d, %s: %w", i, expected.Name, err)
		}
		for j := range page.Files { // those that clients asked for have theirs
			if !o.addresses {
				page.Files[j].URL = ""
			}
		}
		got, want = pypi.AppendProjectJSON(got[:0], page, nil), pypi.AppendProjectJSON(want[:0], expected, nil)
		if !bytes.Equal(got, want) {
			return r, fmt.Errorf("project %d, %s, is not what was stored:\n%s\nis not\n%s", i, page.Name, got, want)
		}
		r.Pages, r.Files = r.Pages+1, r.Files+len(page.Files)
	}
	return r, nil
}

func usage() (u syscall.Rusage) {
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail for the process itself
	return u
}

// cpu is the time in seconds that this process has computed.
func cpu() float64 {
	u := usage()
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func majorFaults() int64 { return int64(usage().Majflt) }

func wrote() int64 {
	raw, _ := os.ReadFile("/proc/self/io") // 0 where the kernel does not count
	for line := range strings.Lines(string(raw)) {
		if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			bytes, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			return bytes
		}
	}
	return 0
}
