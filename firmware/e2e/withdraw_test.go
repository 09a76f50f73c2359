package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// TestWithdraw yanks and deletes private versions on a box that serves, as the one who
// administers it does, and has the newest pip ask for them after each: it passes over what
// is yanked unless it is pinned, and what is deleted is not there. Other bytes cannot
// take the name of what was deleted. Followers see each change. A kill right after the
// command has returned loses nothing.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	m := available(t)
	p := m.pips[len(m.pips)-1]
	s, token := ownSite(t)
	b := s.serve()
	contents := make(map[string][]byte)
	for _, version := range []string{"1.0", "1.1"} {
		status, said, content := push(t, b, token, upstreamtest.Wheel{Name: "acme-tools", Version: version})
		if status != http.StatusOK {
			t.Fatalf("upload: status %d: %s", status, said)
		}
		contents[version] = content
	}
	gets := func(requirement, want string) (said string) {
		t.Helper()
		folder := t.TempDir()
		out, err := p.command(t, p.python.Path, b.index(), "download", "--no-deps", "--dest", folder, requirement).CombinedOutput()
		content, _ := os.ReadFile(filepath.Join(folder, "acme_tools-"+want+"-py3-none-any.whl"))
		if (err == nil) != (want != "") || !bytes.Equal(content, contents[want]) {
			t.Errorf("pip download %s: want %q\n%s", requirement, want, out)
		}
		return string(out)
	}
	serial := 0
	changed := func() {
		t.Helper()
		a, err := ask(t.Context(), b.index()+"acme-tools/", formJSON)
		must(t, err)
		now, err := strconv.Atoi(a.header.Get("X-PyPI-Last-Serial"))
		if err != nil || now <= serial {
			t.Errorf("the serial was %d and is %q", serial, a.header.Get("X-PyPI-Last-Serial"))
		}
		resp, err := http.Post(b.url+"/pypi", "text/xml",
			strings.NewReader("<?xml version='1.0'?><methodCall><methodName>changelog_since_serial</methodName><params><param><value><int>"+
				strconv.Itoa(serial)+"</int></value></param></params></methodCall>"))
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		if !strings.Contains(string(text), "acme-tools") {
			t.Errorf("the feed does not tell: %s", text)
		}
		serial = now
	}
	changed()

	const reason = `it smelled of "soap" & <b>worse</b>`
	s.succeed("private", "yank", "acme_tools", "1.1", "--reason", reason)
	changed()
	gets("acme-tools", "1.0")
	if said := gets("acme-tools==1.1", "1.1"); !strings.Contains(said, "soap") {
		t.Errorf("pip does not tell why it was yanked:\n%s", said)
	}
	for form, want := range map[string]string{
		formJSON: `"yanked":"it smelled of \"soap\" & <b>worse</b>"`,
		formHTML: `data-yanked="it smelled of &#34;soap&#34; &amp; &lt;b&gt;worse&lt;/b&gt;"`,
	} {
		a, err := ask(t.Context(), b.index()+"acme-tools/", form)
		must(t, err)
		page := strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">", "&quot;", "&#34;", `": `, `":`).Replace(string(a.body))
		if !strings.Contains(page, want) {
			t.Errorf("as %s: %s", form, a.body)
		}
	}
	if o := s.succeed("private", "list", "acme-tools"); !strings.Contains(o.stdout, "soap") {
		t.Errorf("the list does not tell:\n%s", o.stdout)
	}
	s.succeed("private", "unyank", "acme-tools", "acme_tools-1.1-py3-none-any.whl")
	changed()
	gets("acme-tools", "1.1")

	s.succeed("private", "delete", "acme-tools", "1.1")
	b.kill()
	b = s.serve()
	changed()
	gets("acme-tools", "1.0")
	gets("acme-tools==1.1", "")
	if status, said, _ := push(t, b, token, upstreamtest.Wheel{Name: "acme-tools", Version: "1.1", Payload: 10}); status != http.StatusBadRequest || !strings.Contains(said, "was deleted") {
		t.Errorf("other bytes: status %d: %s", status, said)
	}
	if status, said, _ := push(t, b, token, upstreamtest.Wheel{Name: "acme-tools", Version: "1.1"}); status != http.StatusOK {
		t.Errorf("the same bytes: status %d: %s", status, said)
	}
	get(t, b, "1.1", digestOfBytes(contents["1.1"]))
	b.quit()

	s.succeed("private", "delete", "acme-tools", "acme_tools-1.0-py3-none-any.whl") // nobody serves
	for _, words := range [][]string{
		{"private", "delete", "acme-tools", "1.0"}, {"private", "yank", "acme-tools", "latest"}, {"private", "delete", "curd", "2.1"},
		{"private", "yank", "acme-tools", "1.1", "--reason", "two\nlines"},
	} {
		if o := s.run(words...); o.status != 1 || len(o.stderr) < reasonable {
			t.Errorf("%v: status %d: %s", words, o.status, o.stderr)
		}
	}
	if o := s.run("private", "delete", "acme-tools"); o.status != 2 {
		t.Errorf("a wrong call: status %d: %s", o.status, o.stderr)
	}
	s.sound()
}
