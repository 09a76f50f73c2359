package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// ownSite is a site whose names are acme-*, and a token for uploading to it.
func ownSite(t *testing.T) (s *site, token string) {
	t.Helper()
	s = newSite(t, nil, "private.names=acme-*")
	token = strings.TrimSpace(s.succeed("token", "add", "tester").stdout)
	return s, token
}

// distributions writes a wheel and a sdist into a folder.
func distributions(t *testing.T, folder, version string, payload int) (paths []string, sums map[string]string) {
	t.Helper()
	wheel := upstreamtest.Wheel{Name: "acme-tools", Version: version, Requires: []string{"curd"}, RequiresPython: ">=3.6", Payload: payload}
	sdist := upstreamtest.Sdist{Name: "acme-tools", Version: version}
	sums = make(map[string]string)
	for filename, build := range map[string]func() ([]byte, error){wheel.Filename(): wheel.Build, sdist.Filename(): sdist.Build} {
		content, err := build()
		must(t, err)
		path := filepath.Join(folder, filename)
		must(t, os.WriteFile(path, content, 0o644))
		sum := sha256.Sum256(content)
		sums[filename] = hex.EncodeToString(sum[:])
		paths = append(paths, path)
	}
	return paths, sums
}

// twine runs the real twine.
func twine(t *testing.T, b *box, token string, args ...string) (status int, said string) {
	t.Helper()
	path, err := exec.LookPath("twine")
	if err != nil {
		t.Skip("this machine has no twine (Debian package twine)")
	}
	c := exec.Command(path, append([]string{"upload", "--non-interactive", "--disable-progress-bar", "--verbose",
		"--repository-url", b.url + "/legacy/", "--username", "__token__", "--password", token}, args...)...)
	c.Env = append(environment(), "HOME="+t.TempDir(), "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring")
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// TestTwine uploads with twine as people do, and installs with pip what came of it.
func TestTwine(t *testing.T) {
	t.Parallel()
	s, token := ownSite(t)
	b := s.serve()
	folder := t.TempDir()
	paths, _ := distributions(t, folder, "1.0", 100_000)

	if status, said := twine(t, b, token+"x", paths...); status == 0 || !strings.Contains(said, "401") {
		t.Errorf("a wrong token: %d\n%s", status, said)
	}
	for _, how := range []string{"first", "again"} {
		if status, said := twine(t, b, token, paths...); status != 0 {
			t.Fatalf("%s: %d\n%s", how, status, said)
		}
	}
	changed, _ := distributions(t, t.TempDir(), "1.0", 100_001)
	wheel := changed[0]
	if !strings.HasSuffix(wheel, ".whl") {
		wheel = changed[1]
	}
	if status, said := twine(t, b, token, wheel); status == 0 || !strings.Contains(said, "already exist") {
		t.Errorf("other bytes: %d\n%s", status, said)
	}
	if status, said := twine(t, b, token, "--skip-existing", wheel); status != 0 {
		t.Errorf("other bytes, with --skip-existing: %d\n%s", status, said)
	}
	foreign := upstreamtest.Wheel{Name: "curd", Version: "99.0"}
	content, err := foreign.Build()
	must(t, err)
	path := filepath.Join(folder, foreign.Filename())
	must(t, os.WriteFile(path, content, 0o644))
	if status, said := twine(t, b, token, path); status == 0 || !strings.Contains(said, "own names") {
		t.Errorf("somebody else's name: %d\n%s", status, said)
	}

	m := available(t)
	p := m.pips[len(m.pips)-1]
	target := t.TempDir()
	pip := exec.Command(p.python.Path, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check",
		"--index-url", b.index(), "--target", target, "acme-tools")
	pip.Env = environment("PYTHONPATH=" + p.folder)
	if out, err := pip.CombinedOutput(); err != nil {
		t.Fatalf("pip: %v\n%s", err, out)
	}
	for _, module := range []string{"acme_tools", "curd"} {
		if _, err := os.Stat(filepath.Join(target, module)); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(s.succeed("token", "list").stdout, "tester") {
		t.Error("the token is not listed")
	}
	s.succeed("token", "remove", "tester")
	if status, said := twine(t, b, token, paths...); status == 0 {
		t.Errorf("a token that was removed: %d\n%s", status, said)
	}
	b.quit()
	s.sound()
}

// TestUploadIsKilled kills the box at many points of an upload, and right after it
// has acknowledged one: what was acknowledged is there, of the rest nothing.
func TestUploadIsKilled(t *testing.T) {
	t.Parallel()
	s, token := ownSite(t)
	kills := 3
	if !testing.Short() {
		kills = 6
	}
	acknowledged := make(map[string]string) // digest by version
	for kill := range kills {
		b := s.serve()
		for version, digest := range acknowledged {
			get(t, b, version, digest)
		}
		w := upstreamtest.Wheel{Name: "acme-tools", Version: fmt.Sprintf("1.%d", kill), Payload: 300_000 * kill}
		content, err := w.Build()
		must(t, err)
		head, tail := formOf(token, w, content)
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		must(t, err)
		whole := append([]byte(head), append(content, tail...)...)
		if kill%2 == 0 {
			_, err = conn.Write(whole)
			must(t, err)
			answer := make([]byte, 12)
			_, err = io.ReadFull(conn, answer)
			must(t, err)
			if string(answer) != "HTTP/1.1 200" {
				t.Fatalf("the box answers %s", answer)
			}
			acknowledged[w.Version] = digestOfBytes(content)
		} else {
			_, err = conn.Write(whole[:len(whole)*kill/(kills+1)])
			must(t, err)
		}
		b.kill()
		_ = conn.Close() // its other end is gone
	}
	b := s.serve()
	for version, digest := range acknowledged {
		get(t, b, version, digest)
	}
	resp, err := http.Get(b.index() + "acme-tools/")
	must(t, err)
	page, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	if n := strings.Count(string(page), "<a "); n != len(acknowledged) {
		t.Errorf("%d files are listed, %d were acknowledged", n, len(acknowledged))
	}
	b.quit()
	s.sound()
}

// push uploads a wheel as twine does, and gives the status and what the box says.
func push(t *testing.T, b *box, token string, w upstreamtest.Wheel) (status int, said string, content []byte) {
	t.Helper()
	content, err := w.Build()
	must(t, err)
	head, tail := formOf(token, w, content)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	must(t, err)
	defer func() { _ = conn.Close() }() // all that matters was read
	_, err = io.Copy(conn, io.MultiReader(strings.NewReader(head), bytes.NewReader(content), strings.NewReader(tail)))
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	text, err := io.ReadAll(resp.Body)
	must(t, errors.Join(err, resp.Body.Close()))
	return resp.StatusCode, string(text), content
}

// uploadTime is the form of the specification: ISO 8601 in UTC, with at most microseconds.
var uploadTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$`)

// TestUploadTimes reads what pip's --uploaded-prior-to, and uv's exclude-newer, go by:
// each file states when it was uploaded, those of upstream as there, and private ones
// as this box saw it. No pip at hand needs to have the option for that.
func TestUploadTimes(t *testing.T) {
	t.Parallel()
	index := upstreamtest.NewIndex()
	file, err := index.AddWheel(upstreamtest.Wheel{Name: "curd", Version: "2.1"})
	must(t, err)
	upstreams := time.Date(2025, 3, 4, 5, 6, 7, 890_000_000, time.UTC)
	must(t, index.SetUploadTime("curd", file, upstreams))
	s := newSite(t, index, "private.names=acme-*")
	token := strings.TrimSpace(s.succeed("token", "add", "tester").stdout)
	b := s.serve()
	begun := time.Now().Add(-time.Second)
	for _, version := range []string{"1.0", "1.1"} {
		if status, said, _ := push(t, b, token, upstreamtest.Wheel{Name: "acme-tools", Version: version}); status != http.StatusOK {
			t.Fatalf("upload: status %d: %s", status, said)
		}
	}
	for project, files := range map[string]int{"curd": 1, "acme-tools": 2} {
		a, err := ask(t.Context(), b.index()+project+"/", formJSON)
		must(t, err)
		var page struct {
			Meta struct {
				Version string `json:"api-version"`
			}
			Files []struct {
				Filename   string
				UploadTime string `json:"upload-time"`
			}
		}
		must(t, json.Unmarshal(a.body, &page))
		if len(page.Files) != files || page.Meta.Version < "1.1" { // the version that has the key (PEP 700)
			t.Errorf("%s: %d files by version %s", project, len(page.Files), page.Meta.Version)
		}
		for _, f := range page.Files {
			at, err := time.Parse(time.RFC3339Nano, f.UploadTime)
			right := at.Equal(upstreams)
			if project != "curd" {
				right = at.After(begun) && at.Before(time.Now().Add(time.Second))
			}
			if err != nil || !right || !uploadTime.MatchString(f.UploadTime) {
				t.Errorf("%s states the upload time %q", f.Filename, f.UploadTime)
			}
		}
	}
	b.quit()
}

func digestOfBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// formOf is a request that uploads a wheel: what goes before its bytes, and behind.
func formOf(token string, w upstreamtest.Wheel, content []byte) (head, tail string) {
	const boundary = "cheese"
	var fields strings.Builder
	for _, f := range [][2]string{
		{":action", "file_upload"}, {"name", w.Name}, {"version", w.Version}, {"filetype", "bdist_wheel"},
		{"sha256_digest", digestOfBytes(content)},
	} {
		fmt.Fprintf(&fields, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", boundary, f[0], f[1])
	}
	fmt.Fprintf(&fields, "--%s\r\nContent-Disposition: form-data; name=\"content\"; filename=%q\r\n\r\n", boundary, w.Filename())
	tail = "\r\n--" + boundary + "--\r\n"
	head = fmt.Sprintf("POST /legacy/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\nContent-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n%s",
		base64.StdEncoding.EncodeToString([]byte("__token__:"+token)), boundary, fields.Len()+len(content)+len(tail), fields.String())
	return head, tail
}

// get fails the test if the box does not give out an uploaded wheel.
func get(t *testing.T, b *box, version, digest string) {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("%s/files/acme-tools/%s/acme_tools-%s-py3-none-any.whl", b.url, digest, version))
	must(t, err)
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK || digestOfBytes(body.Bytes()) != digest {
		t.Errorf("version %s: %s", version, resp.Status)
	}
}
