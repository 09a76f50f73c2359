package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// logged is a request as the box's own log has it.
type logged struct {
	method, path, agent string
	status              int
	bytes               int64
}

var requestLine = regexp.MustCompile(`msg=request method=(\S+) path=(\S+) status=(\d+) bytes=(\d+) aborted=\S+ took=\S+ client=\S+ agent=(\S+)`)

// requests reads the log of a box that was started with --log-level debug, and has
// ended: those whose path ends with suffix, in the order in which they were over.
func (b *box) requests(suffix string) (list []logged) {
	for _, m := range requestLine.FindAllStringSubmatch(b.stderr.String(), -1) {
		status, _ := strconv.Atoi(m[3])           // the pattern has digits only
		sent, _ := strconv.ParseInt(m[4], 10, 64) // likewise
		if strings.HasSuffix(m[2], suffix) {
			list = append(list, logged{m[1], m[2], strings.Trim(m[5], `"`), status, sent})
		}
	}
	return list
}

// resumer is a program that goes on with what it has of a file.
type resumer struct {
	name, Package string
	runs          int // so often it is called until the file is whole
	args          func(folder, file, address string) []string
}

var resumers = []resumer{
	{"curl", "curl", 8, func(folder, file, address string) []string {
		return []string{"--disable", "--noproxy", "*", "-fsS", "-C", "-", "-o", filepath.Join(folder, file), address}
	}},
	{"wget", "wget", 1, func(folder, file, address string) []string {
		return []string{"--no-config", "--no-proxy", "-q", "-c", "--tries=10", "--waitretry=0", "-O", filepath.Join(folder, file), address}
	}},
	{"aria2c", "aria2", 1, func(folder, file, address string) []string {
		return []string{"--no-conf", "--no-proxy=*", "-q", "-c", "-x1", "-s1", "--max-tries=10", "--retry-wait=0", "-d", folder, "-o", file, address}
	}},
}

// TestResumers has real programs load a file over a cable that breaks three times.
// Each goes on where it stopped, and has the right bytes in the end; the file comes
// from upstream once.
func TestResumers(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.serve("--log-level", "debug")
	content, _ := s.upstream.Index.Content(stilton)
	address := fileAddress(t, b, "stilton", stilton)
	tried := 0
	for _, r := range resumers {
		program, err := exec.LookPath(r.name)
		if err != nil {
			t.Logf("this machine has no %s (Debian package %s)", r.name, r.Package)
			continue
		}
		tried++
		const breaks = 3
		c := cut(t, b, hangUp, mebi, breaks) // so each has something to go on with
		folder := t.TempDir()
		var said []byte
		for range r.runs {
			load := exec.CommandContext(t.Context(), program, r.args(folder, stilton, c.url+address)...)
			load.Env, load.Dir = environment("HOME="+folder), folder
			said, err = load.CombinedOutput()
			if err == nil {
				break
			}
		}
		got, readErr := os.ReadFile(filepath.Join(folder, stilton))
		if err != nil || readErr != nil || !bytes.Equal(got, content) || c.broke.Load() != breaks {
			t.Errorf("%s over a cable that broke %d times: %v, %v, %d of %d bytes\n%s", r.name, c.broke.Load(), err, readErr, len(got), len(content), said)
		}
	}
	if tried == 0 {
		t.Skip("this machine has none of curl, wget and aria2c")
	}
	b.quit()
	parts := make(map[string]int)
	for _, q := range b.requests(stilton) {
		name, _, _ := strings.Cut(q.agent, "/")
		if q.status == http.StatusPartialContent {
			parts[strings.ToLower(name)]++
		}
	}
	for name, n := range parts {
		if n != 3 {
			t.Errorf("%s went on %d times, want once after each break", name, n)
		}
	}
	if len(parts) != tried {
		t.Errorf("parts were given to %v, want to all %d programs", parts, tried)
	}
	if asked := s.upstream.Requests().On(upstreamtest.OnFile(stilton)); len(asked) != 1 {
		t.Errorf("upstream was asked for the file %d times", len(asked))
	}
	s.sound()
}

// fileAddress gives the path of a file as the box's page has it.
func fileAddress(t *testing.T, b *box, project, filename string) string {
	t.Helper()
	p, err := readPage(t.Context(), b.index()+project+"/", formJSON)
	must(t, err)
	for _, o := range p.offers {
		if o.filename == filename {
			return strings.TrimPrefix(o.url, b.url)
		}
	}
	t.Fatalf("the page of %s lists no %s", project, filename)
	return ""
}

// TestPipIsCut breaks the cable of pips in mid-file. One that can resume
// (--resume-retries, pip 25.1) goes on with Range and If-Range. One that cannot gives
// up, with nothing that looks like the file, and has it when it is called again.
func TestPipIsCut(t *testing.T) {
	t.Parallel()
	m := available(t)
	s := newSite(t, nil)
	b := s.serve("--log-level", "debug")
	content, _ := s.upstream.Index.Content(stilton)
	const option = "--resume-retries"
	resumes := 0
	for _, p := range []pip{m.pips[0], m.pips[len(m.pips)-1]} {
		help, err := p.command(t, p.python.Path, b.index(), "download", "--help").Output()
		must(t, err)
		args, breaks := []string{"stilton==1.0", "--no-deps"}, int64(1)
		able := bytes.Contains(help, []byte(option))
		if able {
			args, breaks = append(args, option, "5"), 3
			resumes++
		}
		c := cut(t, b, reset, mebi, breaks)
		folder := t.TempDir()
		args = append(args, "--dest", folder)
		said, err := p.command(t, p.python.Path, c.index(), "download", args...).CombinedOutput()
		got, readErr := os.ReadFile(filepath.Join(folder, stilton))
		switch {
		case c.broke.Load() != breaks:
			t.Errorf("pip %s: the cable broke %d times, want %d\n%s", p.version, c.broke.Load(), breaks, said)
		case err != nil && able:
			t.Errorf("pip %s did not go on: %v\n%s", p.version, err, said)
		case err != nil && !errors.Is(readErr, os.ErrNotExist):
			t.Errorf("pip %s failed, and left %d bytes as the file", p.version, len(got))
		case err == nil && !bytes.Equal(got, content):
			t.Errorf("pip %s took %d bytes for the file of %d", p.version, len(got), len(content))
		}
		if !able {
			t.Logf("pip %s has no %s: after the break %v", p.version, option, err)
		}
		if said, err := p.command(t, p.python.Path, c.index(), "download", args...).CombinedOutput(); err != nil {
			t.Errorf("pip %s, called again: %v\n%s", p.version, err, said)
		}
		if got, err = os.ReadFile(filepath.Join(folder, stilton)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("pip %s, called again, has %d of %d bytes (%v)", p.version, len(got), len(content), err)
		}
	}
	b.quit()
	parts := 0
	for _, q := range b.requests(stilton) {
		if q.status == http.StatusPartialContent {
			parts++
		}
	}
	if parts != 3*resumes {
		t.Errorf("%d parts were given, want %d", parts, 3*resumes)
	}
}

// TestResumeAsPipDoes asks as pip does since 25.1: from the byte where it stopped, if
// the entity tag is still the same; for a file that is here, and one that arrives.
func TestResumeAsPipDoes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.serve()
	content, _ := s.upstream.Index.Content(stilton)
	address := fileAddress(t, b, "stilton", stilton)
	s.upstream.SetBandwidth(4 * mebi)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, state := range []string{"arriving", "here"} {
		c := cut(t, b, reset, mebi, 3)
		var got []byte
		tag := ""
		for range 10 {
			status, part, etag, err := goOn(ctx, c.url+address, len(got), tag)
			if want := map[bool]int{false: 200, true: 206}[len(got) > 0]; status != want {
				t.Fatalf("%s: status %d from byte %d, want %d (%v)", state, status, len(got), want, err)
			}
			got, tag = append(got, part...), etag
			if err == nil {
				break
			}
		}
		if !bytes.Equal(got, content) || c.broke.Load() != 3 {
			t.Errorf("%s: %d of %d bytes over a cable that broke %d times", state, len(got), len(content), c.broke.Load())
		}
	}
	for _, tag := range []string{`"another"`, `W/"` + digestOfBytes(content) + `"`, "Thu, 01 Jan 2026 00:00:00 GMT"} {
		if status, part, _, err := goOn(ctx, b.url+address, 1000, tag); status != http.StatusOK || err != nil || !bytes.Equal(part, content) {
			t.Errorf("If-Range: %s: status %d, %d bytes (%v), want the whole", tag, status, len(part), err)
		}
	}
	if asked := s.upstream.Requests().On(upstreamtest.OnFile(stilton)); len(asked) != 1 {
		t.Errorf("upstream was asked for the file %d times", len(asked))
	}
	b.quit()
	s.sound()
}

// goOn asks for a file from a byte on, if it still has the tag, and gives what comes
// before an error.
func goOn(ctx context.Context, address string, from int, tag string) (status int, part []byte, etag string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, "", err
	}
	r.Header.Set("Accept-Encoding", "identity")
	if from > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		r.Header.Set("If-Range", tag)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	part, err = io.ReadAll(resp.Body)
	return resp.StatusCode, part, resp.Header.Get("ETag"), errors.Join(err, resp.Body.Close())
}
