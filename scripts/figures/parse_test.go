package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"ServePage10":          "serve_page10",
		"RenderPage10JSON":     "render_page10_json",
		"RenderPage3000":       "render_page3000",
		"PutCommit1MB":         "put_commit_1mb",
		"Read64KiBCold":        "read_64kib_cold",
		"Open10000":            "open10000",
		"JSONPage":             "json_page",
		"Decode/files=10/gzip": "decode_files_10_gzip",
		"p99-us":               "p99_us",
		"storage/meta":         "storage_meta",
	} {
		if got := snake(name); got != want {
			t.Errorf("snake(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestParseLine(t *testing.T) {
	m, ok := parseLine("storage", "BenchmarkPutCommit1MB-2   \t     100\t  1234567 ns/op\t 849.35 MB/s\t  12 B/op\t 3 allocs/op", 2)
	if !ok || m.name != "PutCommit1MB" || m.rounds != 100 || len(m.values) != 4 || m.values[1] != (value{849.35, "MB/s"}) {
		t.Errorf("got %+v, %v", m, ok)
	}
	if m, ok := parseLine("p", "BenchmarkPage-10 1 5 ns/op", 1); !ok || m.name != "Page-10" {
		t.Errorf("on one processor, where no suffix is added: got %+v, %v", m, ok)
	}
	for _, line := range []string{
		"", "PASS", "ok  \tcheeseboard/storage\t1.2s", "goos: linux", "BenchmarkX-2",
		"--- BENCH: BenchmarkX-2", "BenchmarkX-2 many 3 ns/op", "BenchmarkX-2 1 fast ns/op", "Benchmark 1 3 ns/op",
	} {
		if m, ok := parseLine("p", line, 2); ok {
			t.Errorf("parseLine(%q) = %+v", line, m)
		}
	}
}

func TestFiguresAndReport(t *testing.T) {
	var measured []measurement
	for _, line := range []struct{ pkg, text string }{
		{"httpd", "BenchmarkServePage10-2 10 12300 ns/op 64 B/op 2 allocs/op"},
		{"httpd", "BenchmarkServePage10-2 10 12500 ns/op 64 B/op 2 allocs/op"},
		{"httpd", "BenchmarkServePage10-2 10 99000 ns/op 64 B/op 2 allocs/op"},
		{"storage", "BenchmarkOpen10000-2 1 70123456 ns/op 142857 projects/s"},
		{"storage/meta", "BenchmarkOpen10000-2 1 0.5 ns/op"},
	} {
		m, ok := parseLine(line.pkg, line.text, 2)
		if !ok {
			t.Fatalf("did not parse %q", line.text)
		}
		measured = append(measured, m)
	}
	var out strings.Builder
	if err := report(&out, figures(measured)); err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(out.String(), "processors")
	_, lines, _ = strings.Cut(lines, "\n\n")
	want := `serve_page10_us: 12.50
serve_page10_alloc_bytes: 64
serve_page10_allocs: 2
storage_open10000_us: 70123
storage_open10000_projects_per_s: 142857
storage_meta_open10000_us: 0.000500
`
	if lines != want {
		t.Errorf("got\n%swant\n%s", lines, want)
	}
	row := regexp.MustCompile(`(?m)^httpd/ServePage10 +12\.50 +694 % +3 +64 alloc_bytes, 2 allocs$`)
	if !row.MatchString(out.String()) {
		t.Errorf("the table has no row %v:\n%s", row, out.String())
	}
}

// TestMeasure runs real benchmarks: one that measures, one that fails, and one
// that would never end.
func TestMeasure(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a test program")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"go.mod": "module example\n\ngo 1.26.0\n",
		"a.go":   "package a\n",
		"a_test.go": `package a
import ("testing"; "time")
func BenchmarkQuick(b *testing.B) { for b.Loop() {} }
func BenchmarkRefused(b *testing.B) { b.Fatal("out of cheese") }
func BenchmarkZEndless(b *testing.B) { <-time.After(time.Hour) }
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	effort := effort{benchtime: "10ms", count: 2, budget: time.Minute}
	got, err := measure(context.Background(), effort, "Quick", []string{"./..."})
	if err != nil || len(got) != 2 || got[0].name != "Quick" {
		t.Errorf("Quick: got %+v, %v", got, err)
	}
	if _, err := measure(context.Background(), effort, "Refused", []string{"./..."}); err == nil || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("Refused: got %v, want its message", err)
	}
	if _, err := measure(context.Background(), effort, "Absent", []string{"./..."}); err == nil || !strings.Contains(err.Error(), "no benchmark matches") {
		t.Errorf("Absent: got %v", err)
	}
	effort.budget = time.Second
	got, err = measure(context.Background(), effort, "Quick|Endless", []string{"./..."})
	if err == nil || !strings.Contains(err.Error(), "budget") || len(got) != 2 {
		t.Errorf("Endless: got %+v, %v, want the budget's error beside two measurements", got, err)
	}
}
