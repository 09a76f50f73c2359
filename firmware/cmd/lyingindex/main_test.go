package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// TestRunServesAndStops starts the program as main does, asks it for a page that
// it was told to refuse once and for a file that it was given, and stops it.
func TestRunServesAndStops(t *testing.T) {
	wheel := upstreamtest.Wheel{Name: "brie", Version: "1.0"}
	content, err := wheel.Build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), wheel.Filename())
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, announced := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-lie", "page:brie status:503 1", "-add", "brie=" + path, "-html-only"}, announced, io.Discard)
		_ = announced.Close() // never fails
		ended <- err
	}()
	index := ""
	lines := bufio.NewScanner(out)
	said := map[string]bool{}
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == "index" {
			index = fields[1]
		}
		if len(fields) > 0 {
			said[fields[0]] = true
		}
		if strings.Contains(lines.Text(), "/blackhole") {
			break // the last line; the program goes on
		}
	}
	if index == "" || !said["cheddar"] || !said["cut:BYTES"] {
		t.Fatalf("announced: %v", said)
	}
	for _, want := range []struct {
		status int
		text   string
	}{{503, "Unavailable"}, {200, wheel.Filename()}} {
		status, body := get(t, index+"brie/")
		if status != want.status || !strings.Contains(body, want.text) {
			t.Errorf("status %d: %s", status, body)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-lie", "nonsense"}, {"-lie", "all nonsense"}, {"-add", "brie"}, {"-add", "brie=/no/such/file"},
		{"-listen", "nowhere"}, {"-listen", "127.0.0.1:0", "-control", "nowhere"}, {"more"}, {"-nothing"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
