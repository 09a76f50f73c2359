package config

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// everything returns a Config in which no key has its default.
func everything(t *testing.T) Config {
	t.Helper()
	c := Default()
	for _, k := range keysOf(&c) {
		if err := Set(&c, k.path, k.example); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestRenderParsesBack(t *testing.T) {
	odd := Default()
	odd.Data = "a\"b\\c # é\u2028\u00a0'''"
	odd.Sync.RemovalGuard = 1e-7
	odd.Storage.Reserve = 123456789
	odd.Pull.Fresh = 1
	odd.Sync.Projects = nil
	for range 40 {
		odd.Sync.Projects = append(odd.Sync.Projects, `tomli ; python_version < "3.11"`)
	}
	for name, c := range map[string]Config{"defaults": Default(), "examples": everything(t), "odd values": odd} {
		file := Render(c)
		got, err := Parse("rendered", file)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, file)
			continue
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s (-rendered +parsed):\n%s", name, diff)
		}
		if again := Render(got); string(again) != string(file) {
			t.Errorf("%s: rendered differently the second time", name)
		}
	}
}

// Every key stands below its own comment, default and example, and a person who
// takes the example gets what the comment shows.
func TestRenderDocumentsEveryKey(t *testing.T) {
	defaults := Default()
	file := string(Render(everything(t)))
	words := strings.Join(strings.Fields(strings.ReplaceAll(file, "\n#", " ")), " ")
	for _, k := range keysOf(&defaults) {
		_, name, inTable := strings.Cut(k.path, ".")
		if !inTable {
			name = k.path
		}
		want := strings.Join(strings.Fields(k.comment+" Default: "+k.toml()+". Example: "+k.example+" "+name+" = "), " ")
		if !strings.Contains(words, want) {
			t.Errorf("the file does not hold %q", want)
		}
		if !strings.Contains(file, "Example: "+k.example+"\n") {
			t.Errorf("the example of %s is broken into lines", k.path)
		}
	}
	for _, line := range strings.Split(file, "\n") {
		if strings.HasPrefix(line, "#") && utf8.RuneCountInString(line) > 78 || strings.TrimRight(line, " ") != line {
			t.Errorf("the line is long or ends in a space: %q", line)
		}
	}
}

func TestRenderOfOneKey(t *testing.T) {
	const want = `
# Fraction of what is held: an answer from upstream that would remove more
# than this is refused, since it is rather a fault than the truth. 1: never
# refuse.
# Default: 0.1. Example: 0.25
removal-guard = 0.1

# Whether the names of all projects of upstream are fetched, once a month: of
# PyPI some 10 to 40 MB. Then a client that asks for a name that does not
# exist is told so while the line is down.
# Default: false. Example: true
names = false

# Whether the pages of all projects of upstream are kept, without their files:
# of PyPI some 1.3 GB, which take days to fetch and a 64-bit program to hold.
# Needs sync.names.
# Default: false. Example: true
pages = false

# How the disk is used.
[storage]

# Free space on the disk that is never used.
# Default: "256MB". Example: "1GiB"
reserve = "256MB"

# Bytes of files that may be kept because clients asked for them, beside what
# sync.projects holds. When there are more, those that are worth least go. 0:
# all but the reserve.
# Default: "0B". Example: "20GB"
cache = "0B"

# Bytes per second that are read in the background to see whether the disk
# still has what was written, while nobody installs. What it has changed is
# fetched again. 0: not.
# Default: "2MB". Example: "4MB"
scrub-rate = "2MB"

# Duration between the beginnings of two such readings of everything.
# Default: "168h". Example: "720h"
scrub-interval = "168h"

# What is written to standard error.
[log]
`
	if file := string(Render(Default())); !strings.Contains(file, want) {
		t.Errorf("the file does not hold\n%s\nbut is\n%s", want, file)
	}
}

func TestRedacted(t *testing.T) {
	c := Default()
	c.Upstream.Proxy = "http://me:s3cret@proxy:3128"
	shown := c.Redacted()
	if file := string(Render(shown)); strings.Contains(file, "s3cret") || !strings.Contains(file, "http://me:xxxxx@proxy:3128") {
		t.Errorf("the proxy is shown as %s", shown.Upstream.Proxy)
	}
	if c.Upstream.Proxy != "http://me:s3cret@proxy:3128" {
		t.Error("the configuration itself lost its password")
	}
	if _, err := Parse("shown", Render(shown)); err != nil {
		t.Errorf("the redacted file is refused: %v", err)
	}
	for _, proxy := range []string{"", "http://proxy:3128", "http://me@proxy:3128"} {
		c.Upstream.Proxy = proxy
		if got := c.Redacted().Upstream.Proxy; got != proxy {
			t.Errorf("%q without a password became %q", proxy, got)
		}
	}
}
