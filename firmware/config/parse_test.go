package config

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse("cheeseboard.toml", []byte("\ufeff"+strings.ReplaceAll(`data = 'D:\packages' # a comment
serve = { listen = "[::1]:80", name = "cheese.local" }
log.level = "debug"
[upstream]
url = "https://index.example.org/simple/"
proxy = "socks5h://user:secret@10.0.0.1:1080"
connect-timeout = "500ms"
[sync]
projects = [
  "numpy >= 2, < 3", # spaces are kept
  " uvicorn[standard] ",
]
latest = 0x10
removal-guard = 1
max-file-size = 1_000_000
[storage]
reserve = "1.5 gib"
`, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data = `D:\packages`
	want.Serve = Serve{Listen: "[::1]:80", Name: "cheese.local"}
	want.Log.Level = slog.LevelDebug
	want.Upstream.URL = "https://index.example.org/simple/"
	want.Upstream.Proxy = "socks5h://user:secret@10.0.0.1:1080"
	want.Upstream.ConnectTimeout = Duration(500 * time.Millisecond)
	want.Sync.Projects = []string{"numpy >= 2, < 3", "uvicorn[standard]"}
	want.Sync.Latest = 16
	want.Sync.RemovalGuard = 1
	want.Sync.MaxFileSize = 1_000_000
	want.Storage.Reserve = 3 << 29
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"duration", "[sync]\n  interval = \"6 hours\"",
			`f:2:14: sync.interval: "6 hours": expected a duration such as "90s", "10m" or "6h"`},
		{"duration without unit", "[sync]\ninterval = 6",
			`f:2:12: sync.interval: 6: expected a duration such as "90s", "10m" or "6h"`},
		{"duration too short", "[sync]\ninterval = \"-5m\"",
			`f:2:12: sync.interval: "-5m": expected a duration from "1m" to "8760h", such as "24h"`},
		{"duration too long", "pull.wait = \"1m\"",
			`f:1:13: pull.wait: "1m": expected a duration from "0s" to "10s", such as "500ms"`},
		{"size", "[storage]\nreserve = \"2G\"",
			`f:2:11: storage.reserve: "2G": expected a size such as "2GB", "512MiB" or 1000000 (bytes)`},
		{"size out of range", "sync.max-file-size = 0",
			`f:1:22: sync.max-file-size: 0: expected a size from "1B" to "1TiB", such as "500MB"`},
		{"number in quotes", "sync.connections = \"4\"",
			`f:1:20: sync.connections: "4": expected a whole number from 1 to 256, such as 16`},
		{"number out of range", "sync.connections = 0",
			`f:1:20: sync.connections: 0: expected a whole number from 1 to 256, such as 16`},
		{"number beyond 64 bits", "sync.latest = 99999999999",
			`f:1:15: sync.latest: 99999999999: expected a whole number from 0 to 1000000, such as 3`},
		{"percent", "sync.removal-guard = 10",
			`f:1:22: sync.removal-guard: 10: expected a number from 0 to 1, such as 0.25`},
		{"not a number", "sync.removal-guard = nan",
			`f:1:22: sync.removal-guard: nan: expected a number from 0 to 1, such as 0.25`},
		{"boolean", "pull.enabled = \"yes\"",
			`f:1:16: pull.enabled: "yes": expected true or false`},
		{"choice", "sync.sdists = \"sometimes\"",
			`f:1:15: sync.sdists: "sometimes": expected "always", "never" or "when-no-wheel"`},
		{"level", "log.level = \"INFO\"",
			`f:1:13: log.level: "INFO": expected "debug", "info", "warn" or "error"`},
		{"text without quotes", "data = 5",
			`f:1:8: data: 5: expected text in quotes, such as "/srv/cheeseboard"`},
		{"empty folder", "data = \" \"",
			`f:1:8: data: " ": expected a folder such as "cheeseboard-data" or "/srv/cheeseboard"`},
		{"control character", "data = \"a\\u001bb\"",
			`f:1:8: data: "a\u001Bb": expected text without control characters, such as "/srv/cheeseboard"`},
		{"port alone", "serve.listen = \"8080\"",
			`f:1:16: serve.listen: "8080": expected an address with a port such as ":8080" or "192.168.1.5:80"`},
		{"port by name", "serve.listen = \":http\"",
			`f:1:16: serve.listen: ":http": expected an address with a port such as ":8080" or "192.168.1.5:80"; the port is a number from 0 to 65535`},
		{"host with scheme", "serve.name = \"http://cheese.local\"",
			`f:1:14: serve.name: "http://cheese.local": expected a host name or an address, without a scheme or a port, such as "cheeseboard.local"`},
		{"URL scheme", "upstream.url = \"ftp://example.org/simple/\"",
			`f:1:16: upstream.url: "ftp://example.org/simple/": expected the URL of a simple index such as "https://packages.example.org/simple/"`},
		{"URL without host", "upstream.url = \"https:///simple/\"",
			`f:1:16: upstream.url: "https:///simple/": expected the URL of a simple index such as "https://packages.example.org/simple/"`},
		{"URL with password", "upstream.url = \"https://me:secret@example.org/simple/\"",
			`f:1:16: upstream.url: "https://…@example.org/simple/": expected the URL of a simple index such as "https://packages.example.org/simple/", without a user: it would be handed on in the addresses of files`},
		{"URL with fragment", "upstream.url = \"https://example.org/simple/#\"",
			`f:1:16: upstream.url: "https://example.org/simple/#": expected the URL of a simple index such as "https://packages.example.org/simple/", without ? and #`},
		{"proxy", "upstream.proxy = \"me:secret@proxy:3128\"",
			`f:1:18: upstream.proxy: "…@proxy:3128": expected the URL of a proxy (http, https, socks5 or socks5h) such as "http://proxy.example.org:3128"`},
		{"password with a slash and an at sign", "upstream.proxy = \"http://me:s/cr@t@proxy\"",
			`f:1:18: upstream.proxy: "http://…@proxy": expected the URL of a proxy (http, https, socks5 or socks5h) such as "http://proxy.example.org:3128"`},
		{"contact", "upstream.contact = \"Jo (IT)\"",
			`f:1:20: upstream.contact: "Jo (IT)": expected an address in ASCII without parentheses such as "it@example.org"`},
		{"requirement with a URL", "sync.projects = [\"pip @ https://me:secret@example.org/pip.zip\"]",
			`f:1:18: sync.projects: "pip @ https://…@example.org/pip.zip": expected a requirement such as "numpy>=2,<3" or "uvicorn[standard]", without a URL: only what the index has is mirrored`},
		{"requirement with a password and a mistake", "sync.projects = [\"pip[ @ https://me:secret@example.org/pip.zip\"]",
			`f:1:18: sync.projects: "pip[ @ https://…@example.org/pip.zip": expected a requirement such as "numpy>=2,<3" or "uvicorn[standard]"`},
		{"requirement that is no text", "sync.projects = [7]",
			`f:1:18: sync.projects: 7: expected text in quotes in a list, such as ["numpy>=2,<3", "uvicorn[standard]"]`},
		{"projects that are no list", "sync.projects = \"numpy\"",
			`f:1:17: sync.projects: "numpy": expected a list, such as ["numpy>=2,<3", "uvicorn[standard]"]`},
		{"empty list", "sync.python = []",
			`f:1:15: sync.python: an empty list: expected a list, such as ["3.12", "3.13"]`},
		{"Python without quotes", "sync.python = [3.10]",
			`f:1:16: sync.python: 3.10: expected text in quotes in a list, such as ["3.12", "3.13"]`},
		{"Python of three numbers", "sync.python = [\n  \"3.11\",\n  \"3.12.1\",\n]",
			`f:3:3: sync.python: "3.12.1": expected a Python version of two numbers such as "3.12"`},

		{"unknown key", "[sync]\nintervall = \"6h\"",
			`f:2:1: sync.intervall: unknown key; did you mean sync.interval?`},
		{"unknown key by case", "Data = \"x\"",
			`f:1:1: Data: unknown key; did you mean data?`},
		{"unknown key by underscore", "[upstream]\nca_file = \"x\"",
			`f:2:1: upstream.ca_file: unknown key; did you mean upstream.ca-file?`},
		{"key without its table", "interval = \"6h\"",
			`f:1:1: interval: unknown key; did you mean sync.interval?`},
		{"key in the wrong table", "[serve]\n reserve = \"1GB\"",
			`f:2:2: serve.reserve: unknown key; did you mean storage.reserve?`},
		{"key like no other", "[log]\ncolour-of-the-lines = 1",
			`f:2:1: log.colour-of-the-lines: unknown key; [log] has level, format`},
		{"key like no other without a table", "whatever-you-like = 1",
			`f:1:1: whatever-you-like: unknown key; "cheeseboard config" prints all keys`},
		{"quoted key that looks like a path", "\"sync.interval\" = \"6h\"",
			`f:1:1: "sync.interval": unknown key; did you mean sync.interval?`},
		{"key in an inline table", "serve = { lisen = \":80\" }",
			`f:1:11: serve.lisen: unknown key; did you mean serve.listen?`},
		{"unknown table, reported once", "[synch]\ninterval = 5\nfoo = 6\n[sync]\nlatest = -1",
			"f:1:2: synch: unknown table; did you mean [sync]?\n" +
				`f:5:10: sync.latest: -1: expected a whole number from 0 to 1000000, such as 3`},
		{"table like no other", "[database]",
			`f:1:2: database: unknown table; there are serve, network, mdns, upstream, line, pull, policy, tls, private, access, limits, confine, clock, console, watchdog, led, button, modem, stick, update, sync, storage, log`},
		{"table for a key", "[sync.interval]\nhours = 6",
			`f:1:2: sync.interval: a table: expected a duration such as "90s", "10m" or "6h"`},
		{"list of tables", "[[sync]]\ninterval = \"6h\"",
			`f:1:3: sync: a list of tables: expected a table, which begins with [sync]`},
		{"value for a table", "sync = true",
			`f:1:8: sync: true: expected a table, which begins with [sync]`},

		{"all at once", "dato = 1\nserve.listen = \"80\"\n[sync]\npython = [3.10, \"3\"]\nlatest = \"x\"",
			"f:1:1: dato: unknown key; did you mean data?\n" +
				`f:2:16: serve.listen: "80": expected an address with a port such as ":8080" or "192.168.1.5:80"` + "\n" +
				`f:4:11: sync.python: 3.10: expected text in quotes in a list, such as ["3.12", "3.13"]` + "\n" +
				`f:4:17: sync.python: "3": expected a Python version of two numbers such as "3.12"` + "\n" +
				`f:5:10: sync.latest: "x": expected a whole number from 0 to 1000000, such as 3`},
		{"columns are characters", "[serve]\nlisten = \"é\" # é\n\"é\" = 1",
			`f:2:10: serve.listen: "é": expected an address with a port such as ":8080" or "192.168.1.5:80"` + "\n" +
				`f:3:1: serve."é": unknown key; [serve] has listen, name`},

		{"key set twice", "[log]\nlevel = \"info\"\nlevel = \"warn\"",
			`f:3:1: not TOML: key level is already defined`},
		{"table twice", "[log]\n[sync]\n[log]",
			`f:3:2: not TOML: table log already exists`},
		{"text that is not quoted", "log.level = debug",
			`f:1:13: not TOML: unexpected character U+0064 'd' at start of value; text stands in quotes, as in "6h"`},
		{"duration that is not quoted", "sync.interval = 6h",
			`f:1:18: not TOML: strings must be quoted; text stands in quotes, as in "6h"`},
		{"True as in Python", "pull.enabled = True",
			`f:1:16: not TOML: unexpected character U+0054 'T' at start of value; write true or false`},
		{"quotes of a word processor", "data = “x”",
			`f:1:8: not TOML: unexpected character U+00E2 'â' at start of value; use straight quotes (")`},
		{"Windows path", `data = "C:\Users"`,
			`f:1:11: not TOML: unicode escape sequence is too short; write a Windows path in single quotes, as in 'D:\packages'`},
		{"UTF-16", "\xff\xfed\x00a\x00",
			`f:1:1: the file is UTF-16; save it as UTF-8`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.file))
			if err == nil {
				t.Fatal("no error")
			}
			if err.Error() != tt.want {
				t.Errorf("Parse:\n%v\nwant:\n%s", err, tt.want)
			}
		})
	}
}

// What the vocabulary of the index says of a value is handed on, once, at the
// item that is wrong.
func TestParseSaysWhatIsWrongWithAnItem(t *testing.T) {
	for _, tt := range []struct{ file, item, want string }{
		{"sync.projects = [\n  \"numpy>=2\", \"numpy>>2\",\n]", `"numpy>>2"`,
			`f:2:15: sync.projects: "numpy>>2": expected a requirement such as "numpy>=2,<3" or "uvicorn[standard]" (`},
		{"sync.platforms = [\"any\", \"linux-arm\"]", `"linux-arm"`,
			`f:1:26: sync.platforms: "linux-arm": expected "any" or a platform such as "linux-aarch64" (`},
	} {
		_, err := Parse("f", []byte(tt.file))
		if err == nil {
			t.Fatalf("%q is accepted", tt.file)
		}
		after, ok := strings.CutPrefix(err.Error(), tt.want)
		if !ok || !strings.HasSuffix(after, ")") || len(after) < len("(why)") || strings.Contains(after, tt.item) {
			t.Errorf("Parse:\n%v\nwant:\n%s…)", err, tt.want)
		}
	}
}

func TestProblemsAreCountedBeyondFifty(t *testing.T) {
	var b strings.Builder
	for i := range 60 {
		b.WriteString("k" + strings.Repeat("x", i) + " = 1\n")
	}
	_, err := Parse("f", []byte(b.String()))
	var list Problems
	if !errors.As(err, &list) || len(list) != 60 {
		t.Fatalf("%d problems, want 60", len(list))
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 51 || lines[50] != "… and 10 more problems" {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	var one Problem
	if !errors.As(err, &one) || one.Line != 1 || one.Key != "k" || one.Source != "f" {
		t.Errorf("the first problem is %+v", one)
	}
}
