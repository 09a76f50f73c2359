package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestChecks(t *testing.T) {
	tests := []struct {
		name    string
		check   func(string) string
		good    []string
		refused []string
	}{
		{"listen", checkListen,
			[]string{":0", ":80", ":65535", "0.0.0.0:80", "[::]:80", "[fe80::1%eth0]:80", "cheese.local:80", "localhost:8080"},
			[]string{"", ":", "80", "localhost", ":65536", ":-1", ":+80", ":080", "::1:80", "http://x:80", "a b:80", "300.1.1.1:80"}},
		{"name", checkHostName,
			[]string{"", "cheese", "cheese.local", "192.168.1.5", "fd00::1", "CHEESE_1.lan", strings.Repeat("a", 63)},
			[]string{"cheese.", ".local", "a..b", "-a", "a-", "cheese:80", "a/b", "ü", "192.168.1", "192.168.1.500", strings.Repeat("a", 64), strings.Repeat("a.", 127)}},
		{"url", checkUpstreamURL,
			[]string{"", "https://pkg.example.org/simple", "http://192.168.1.5:8080/simple/", "http://[fd00::1]:80/", "HTTPS://EXAMPLE.ORG"},
			[]string{"pkg.example.org/simple", "//pkg.example.org/simple/", "https:pkg.example.org", "https://", "https://a b/", "https://e.org:port/",
				"https://e.org:99999/", "file:///srv", "https://e.org/?x=1", "https://e.org/?", "https://e.org/#", "https://user@e.org/", "https://e.org/%zz"}},
		{"mirror", checkMirrorURL,
			[]string{"http://other-box.local/simple/", "http://192.168.1.5:8080/simple", "https://mirror.example.org/"},
			[]string{"", "other-box.local", "https://user@e.org/", "ftp://e.org/simple/", "http://e.org/?x=1"}},
		{"proxy", checkProxy,
			[]string{"", "http://proxy:3128", "http://proxy:3128/", "https://u:p@proxy", "socks5://127.0.0.1:1080", "socks5h://127.0.0.1:1080"},
			[]string{"proxy:3128", "127.0.0.1:3128", "ftp://proxy", "socks4://proxy", "http://proxy/path", "http://proxy?x", "http://proxy#x"}},
		{"contact", checkContact,
			[]string{"", "it@example.org", "+https://example.org/box", strings.Repeat("a", 200)},
			[]string{"(it)", `a\b`, "a\nb", "ü@example.org", strings.Repeat("a", 201)}},
		{"python", checkPython,
			[]string{"2.7", "3.0", "3.9", "3.10", "3.14"},
			[]string{"", "3", "3.", ".3", "3.x", "3.010", "3.11.2", "4.0", "1.5", "+3.1", "3.-1", ">=3.9", "cp312", "3.1000"}},
		{"platform", checkPlatform,
			[]string{"any", "linux-x86_64", "linux-aarch64-2.31", "linux-armv7l", "musllinux-x86_64", "macos-arm64-13.0", "windows-amd64"},
			[]string{"", "linux", "arm", "linux_x86_64 ", "plan9-mips"}},
		{"requirement", checkRequirement,
			[]string{"numpy", "numpy>=2,<3", "Numpy == 2.*", "uvicorn[standard]", "uvicorn [standard, watch] ~= 0.30", `tomli ; python_version < "3.11"`, "a (>=1)"},
			[]string{"", "-numpy", "numpy 2", "numpy>>2", "numpy[", "numpy[a b]", "numpy; nonsense", "pip @ https://example.org/pip.zip", "./folder", "-r requirements.txt"}},
	}
	for _, tt := range tests {
		for _, s := range tt.good {
			if want := tt.check(s); want != "" {
				t.Errorf("%s: %q is refused: expected %s", tt.name, s, want)
			}
		}
		for _, s := range tt.refused {
			if tt.check(s) == "" {
				t.Errorf("%s: %q is accepted", tt.name, s)
			}
		}
	}
}

func TestMirrorsAreFew(t *testing.T) {
	c := Default()
	var many []string
	for i := range MaxMirrors + 1 {
		many = append(many, fmt.Sprintf("http://box-%d.local/simple/", i))
	}
	if err := Set(&c, "upstream.mirrors", strings.Join(many[1:], ", ")); err != nil || len(c.Upstream.Mirrors) != MaxMirrors {
		t.Errorf("%d mirrors: %v", len(c.Upstream.Mirrors), err)
	}
	err := Set(&c, "upstream.mirrors", strings.Join(many, ", "))
	if want := `expected a list of at most 8, such as ["http://other-box.local/simple/"]`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("nine mirrors: %v, want %q", err, want)
	}
}

func TestNearest(t *testing.T) {
	c := Default()
	names := paths(keysOf(&c))
	for name, want := range map[string]string{
		"sync.intreval":        "sync.interval",
		"sync.Projects":        "sync.projects",
		"sync.project":         "sync.projects",
		"listen":               "serve.listen",
		"server.listen":        "serve.listen",
		"sync.max_file_size":   "sync.max-file-size",
		"upstream.caa-file":    "upstream.ca-file",
		"loglevel":             "log.level",
		"sync.reserve":         "storage.reserve",
		"x":                    "",
		"":                     "",
		"sync.something-else":  "",
		"completely.different": "",
		"sync.interval" + strings.Repeat("l", 80): "",
	} {
		if got := nearest(name, names, "."); got != want {
			t.Errorf("nearest to %q: %q, want %q", name, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1},
		{"abc", "xabc", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance of %q and %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := distance(tt.b, tt.a); got != tt.want {
			t.Errorf("distance of %q and %q: %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
