package main_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstreamtest"
)

const (
	root    = "../../.."
	program = "go run ./firmware/cmd/cheeseboard"
)

// block is a fenced part of README.md.
type block struct {
	language string
	lines    []string
}

func (b block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// readme gives README.md: its fenced blocks, and the text around them.
func readme(t *testing.T) (blocks []block, prose string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSuffix(line, "\n")
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{language: language}
		case fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		default:
			prose += line + "\n"
		}
	}
	if open != nil || len(blocks) == 0 {
		t.Fatal("the fences of README.md do not match")
	}
	return blocks, prose
}

// commands are the lines of a block that are typed, without comments.
func (b block) commands() []string {
	var out []string
	for _, line := range b.lines {
		typed, isTyped := strings.CutPrefix(line, "$ ")
		if b.language == "console" && !isTyped {
			continue
		}
		typed, _, _ = strings.Cut(typed, " #")
		out = append(out, strings.TrimSpace(typed))
	}
	return out
}

// box is the program, built, in an empty folder and with an upstream on loopback
// that has what README.md selects.
type box struct {
	t      *testing.T
	path   string
	folder string
	env    []string
}

func newBox(t *testing.T, selection []string) *box {
	t.Helper()
	index := upstreamtest.NewIndex()
	for _, text := range selection {
		r, err := pypi.ParseRequirement(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := index.AddWheel(upstreamtest.Wheel{Name: string(r.Name), Version: "2.0", Extras: r.Extras}); err != nil {
			t.Fatal(err)
		}
	}
	server := upstreamtest.NewServer(index)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &box{t: t, path: filepath.Join(t.TempDir(), "cheeseboard"), folder: t.TempDir()}
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", b.path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	b.env = append(cleanEnvironment(), "CHEESEBOARD_UPSTREAM_URL="+server.IndexURL(),
		"CHEESEBOARD_SERVE_LISTEN=127.0.0.1:0", "CHEESEBOARD_STORAGE_RESERVE=0")
	return b
}

// cleanEnvironment is that of the test without what would bend a program.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		key, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		return strings.HasPrefix(key, "CHEESEBOARD_") || strings.HasPrefix(key, "PIP_") || strings.HasSuffix(key, "_PROXY")
	})
}

// run runs the program and gives what it wrote to its standard output.
func (b *box) run(args ...string) string {
	b.t.Helper()
	var out, errs bytes.Buffer
	c := exec.CommandContext(b.t.Context(), b.path, args...)
	c.Dir, c.Env, c.Stdout, c.Stderr = b.folder, b.env, &out, &errs
	if err := c.Run(); err != nil {
		b.t.Errorf("cheeseboard %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String()
}

// serve starts the program without arguments, compares what it says with the
// lines of README.md, asks its index, and stops it.
func (b *box) serve(want []string) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	c := exec.CommandContext(ctx, b.path)
	c.Dir, c.Env = b.folder, b.env
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	out, err := c.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	base := ""
	lines := bufio.NewScanner(out)
	for _, w := range want {
		if !lines.Scan() {
			b.t.Fatalf("it ended before it said %q", w)
		}
		got := lines.Text()
		if at := address.FindString(got); at != "" {
			base = at
		}
		if got := address.ReplaceAllString(got, "http://localhost:8080"); got != w {
			b.t.Errorf("it says %q, README.md %q", got, w)
		}
	}
	for _, path := range []string{"/", "/simple/", "/healthz"} {
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(base + path)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
			b.t.Errorf("%s: %s, %v", path, response.Status, err)
		}
	}
	cancel()
	if _, err := io.Copy(io.Discard, out); err != nil {
		b.t.Error(err)
	}
	// It ends in good order when it is told to; that ctx has ended is no fault.
	if err := c.Wait(); c.ProcessState.ExitCode() != 0 {
		b.t.Errorf("stopped by SIGTERM, it ends with %v", err)
	}
}

// selection is what the example of a configuration selects.
func selection(t *testing.T, blocks []block) (file string, projects []string) {
	t.Helper()
	for _, b := range blocks {
		if b.language == "toml" && b.lines[0] == "# cheeseboard.toml" {
			c, err := config.Parse("README.md", []byte(b.text()))
			if err != nil {
				t.Fatal(err)
			}
			return b.text(), c.Sync.Projects
		}
	}
	t.Fatal("README.md has no example of a configuration")
	return "", nil
}

// TestReadmeCommands runs every command that README.md shows. Those that take
// minutes, and have tests of their own, are asked whether they know the options.
func TestReadmeCommands(t *testing.T) {
	blocks, _ := readme(t)
	file, projects := selection(t, blocks)
	b := newBox(t, projects)
	ran := 0
	for _, block := range blocks {
		if block.language != "console" && block.language != "sh" {
			continue
		}
		for _, command := range block.commands() {
			ran++
			words := strings.Fields(command)
			args, ours := strings.CutPrefix(command, program)
			switch {
			case ours && strings.TrimSpace(args) == "":
				b.serve(block.lines[1:])
			case ours && strings.TrimSpace(args) == "demo":
				b.run("demo", "--help") // firmware/demo has its own test
			case ours:
				if err := os.WriteFile(filepath.Join(b.folder, "cheeseboard.toml"), []byte(file), 0o600); err != nil {
					t.Fatal(err)
				}
				b.run(strings.Fields(args)...)
			case strings.HasPrefix(command, "./scripts/"):
				script(t, words)
			case words[0] == "pip":
				if want := app.PipCommand("http://192.168.1.5:8080/simple/", "requests"); command != want {
					t.Errorf("%q, the program would print %q", command, want)
				}
			case words[0] == "uv":
				if command != "uv pip install --default-index http://192.168.1.5:8080/simple/ requests" &&
					command != "uv publish --publish-url http://192.168.1.5:8080/legacy/ --token TOKEN dist/*" {
					t.Errorf("%q", command)
				}
			case words[0] == "twine": // TestTwine in firmware/e2e calls it so
				if command != "twine upload --repository-url http://192.168.1.5:8080/legacy/ -u __token__ -p TOKEN dist/*" {
					t.Errorf("%q", command)
				}
			default:
				t.Errorf("nothing checks %q", command)
			}
		}
	}
	if ran < 5 {
		t.Errorf("only %d commands were found", ran)
	}
	if status := b.run("status"); strings.Contains(status, "problem") || !strings.Contains(status, "3 files of 3 projects") {
		t.Errorf("after the commands of README.md:\n%s", status)
	}
}

// script checks that a script is there and knows what it is called with.
func script(t *testing.T, words []string) {
	t.Helper()
	help := exec.CommandContext(t.Context(), words[0], "--help")
	help.Dir = root
	out, err := help.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", words[0], err, out)
	}
	for _, w := range words[1:] {
		if known := strings.HasPrefix(w, "/") || strings.Contains(string(out), w); !known {
			t.Errorf("%s does not know %s:\n%s", words[0], w, out)
		}
	}
}

// TestReadmeNames holds the commands, flags, variables and settings in the text
// of README.md against the program.
func TestReadmeNames(t *testing.T) {
	blocks, prose := readme(t)
	_, projects := selection(t, blocks)
	b := newBox(t, projects)
	help := b.run("--help")
	var commands []string
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+)  +[A-Z]`).FindAllStringSubmatch(help, -1) {
		if m[1] != "help" && m[1] != "completion" {
			commands = append(commands, m[1])
		}
	}
	if len(commands) < 5 {
		t.Fatalf("commands %v in\n%s", commands, help)
	}
	all := help
	for _, c := range commands {
		all += b.run(c, "--help")
		if !strings.Contains(prose, "`cheeseboard "+c+"`") {
			t.Errorf("README.md does not mention the command %s", c)
		}
	}
	settings := b.run("config")
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(prose, -1) {
		words := strings.Fields(m[1])
		name := words[0]
		switch {
		case name == "cheeseboard" && len(words) > 1:
			if !slices.Contains(commands, words[1]) {
				t.Errorf("there is no command %q", m[1])
			}
		case name == "--set" && words[1] != "key=value":
			b.run("config", name, words[1])
		case strings.HasPrefix(name, "--"):
			if !strings.Contains(all, name+" ") {
				t.Errorf("no command has the flag %s", name)
			}
		case strings.HasPrefix(name, "CHEESEBOARD_"):
			with := *b
			with.env = append(slices.Clone(b.env), name)
			with.run("config")
		case strings.HasPrefix(name, "["):
			if !strings.Contains(settings, "\n"+name+"\n") {
				t.Errorf("there is no table %s", name)
			}
		}
	}
}

// TestReadmeClients reads the settings of clients as the clients do.
func TestReadmeClients(t *testing.T) {
	const index = "http://192.168.1.5:8080/simple/"
	blocks, _ := readme(t)
	seen := 0
	for _, b := range blocks {
		path := filepath.Join(t.TempDir(), "settings")
		if err := os.WriteFile(path, []byte(b.text()), 0o600); err != nil {
			t.Fatal(err)
		}
		switch {
		case b.language == "ini":
			seen++
			pip := exec.CommandContext(t.Context(), "python3", "-m", "pip", "config", "list")
			pip.Env = append(cleanEnvironment(), "PIP_CONFIG_FILE="+path)
			out, err := pip.CombinedOutput()
			for _, want := range []string{"global.index-url='" + index + "'", "global.trusted-host='192.168.1.5'"} {
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("pip reads %s, want %s, %v", out, want, err)
				}
			}
		case b.language == "toml" && strings.HasPrefix(b.lines[0], "# uv:"):
			seen++
			var uv struct {
				Index []struct {
					URL     string
					Default bool
				}
			}
			decoder := toml.NewDecoder(strings.NewReader(b.text())).DisallowUnknownFields()
			if err := decoder.Decode(&uv); err != nil || len(uv.Index) != 1 || uv.Index[0].URL != index || !uv.Index[0].Default {
				t.Errorf("uv would read %+v, %v", uv, err)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d settings of clients were found", seen)
	}
}

// TestLinks follows the links of the documents to files of this repository.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)]+)\)`)
	for _, document := range []string{"README.md", "firmware/ARCHITECTURE.md", "scripts/README.md", "board/README.md"} {
		raw, err := os.ReadFile(filepath.Join(root, document))
		if err != nil {
			t.Error(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(raw), -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" {
				t.Errorf("%s: the link %s leads out of the repository", document, m[1])
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(document), u.Path)); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
}

// TestReadmeRequirements holds the version of Go against go.mod.
func TestReadmeRequirements(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(raw)
	_, prose := readme(t)
	if m == nil || !strings.Contains(prose, "Go "+string(m[1])+" or later") {
		t.Errorf("go.mod wants Go %s, README.md does not say so", m[1])
	}
}
