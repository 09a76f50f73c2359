package upstreamtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestKillAndRevive(t *testing.T) {
	for _, split := range []bool{false, true} {
		index, name, content := small(t)
		server := NewServer(index)
		server.SplitFiles = split
		startWith(t, server)
		page, file := server.IndexURL()+"brie/", server.FileURL(name)
		told := server.Tell(OnFile(name), StallAfter(100), 1)
		response, err := rawClient().Do(request(t, testContext(t), "GET", file))
		must(t, err)
		<-told.Reached()
		must(t, server.Kill())
		if got, err := io.ReadAll(response.Body); err == nil || len(got) > 100 {
			t.Errorf("a connection lived on: %d bytes", len(got))
		}
		must(t, response.Body.Close())
		for _, url := range []string{page, file} {
			if _, err := try(t, "GET", url); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("while dead: %v", err)
			}
		}
		if err := server.Kill(); err == nil {
			t.Error("killed twice")
		}
		must(t, server.Revive())
		if a := get(t, file); !bytes.Equal(a.body, content) {
			t.Errorf("revived: status %d", a.status)
		}
		if a := get(t, page); a.status != 200 {
			t.Errorf("revived: status %d", a.status)
		}
		if err := server.Revive(); err == nil {
			t.Error("revived twice")
		}
	}
}

func TestCloseWhileDead(t *testing.T) {
	index, _, _ := small(t)
	server := NewServer(index)
	must(t, server.Start())
	must(t, server.Kill())
	must(t, server.Close())
	must(t, server.Close())
	if server.Start() == nil || server.Revive() == nil {
		t.Error("a closed server started")
	}
}

func TestCloseWakesTheStalled(t *testing.T) {
	index, name, _ := small(t)
	server := NewServer(index)
	must(t, server.Start())
	told := server.Tell(OnFile(name), NeverAnswer(), 0)
	failed := make(chan error, 1)
	ask := request(t, testContext(t), "GET", server.FileURL(name))
	go func() {
		_, err := do(rawClient(), ask)
		failed <- err
	}()
	<-told.Reached()
	must(t, server.Close())
	if err := <-failed; err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestBlackhole(t *testing.T) {
	index, name, content := small(t)
	server := start(t, index)
	url := server.FileURL(name)
	// One that is in the middle of a body falls silent as well.
	told := server.Tell(OnFile(name), StallAfter(100), 1)
	response, err := rawClient().Do(request(t, testContext(t), "GET", url))
	must(t, err)
	<-told.Reached()
	server.Blackhole(true)
	told.Release()
	rest := make(chan []byte, 1)
	go func() {
		got, _ := io.ReadAll(response.Body) // judged by its bytes
		rest <- got
	}()
	ctx, cancel := context.WithCancel(testContext(t))
	failed := make(chan error, 1)
	ask := request(t, ctx, "GET", url, "Range", "bytes=5-")
	go func() {
		_, err := do(rawClient(), ask)
		failed <- err
	}()
	// It is accepted and its request is taken, but no status is sent.
	must(t, server.Wait(testContext(t), func(q Requests) bool { return len(q) == 2 }))
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if q := server.Requests(); q[1].Status != 0 {
		t.Errorf("recorded %v", q)
	}
	if server.Requests()[0].Done {
		t.Error("the rest of the body came through")
	}
	server.Blackhole(false)
	if got := <-rest; !bytes.Equal(got, content) {
		t.Errorf("%d bytes after the end of it", len(got))
	}
	must(t, response.Body.Close())
}

func TestBandwidthAndLatency(t *testing.T) {
	index, name, content := small(t)
	server := start(t, index)
	rate := int64(len(content)) * 4
	server.SetBandwidth(rate)
	began := time.Now()
	var group sync.WaitGroup
	for range 2 {
		ask := request(t, testContext(t), "GET", server.FileURL(name))
		group.Go(func() {
			a, err := do(rawClient(), ask)
			if err != nil || !bytes.Equal(a.body, content) {
				t.Errorf("%d bytes, %v", len(a.body), err)
			}
		})
	}
	group.Wait()
	// Two files at four files a second: half a second if the line is shared.
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("two files took %v", took)
	}
	server.SetBandwidth(0)
	server.SetLatency(150 * time.Millisecond)
	began = time.Now()
	get(t, server.IndexURL())
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("a page took %v", took)
	}
}

func TestTruthAndStop(t *testing.T) {
	index, _, _ := small(t)
	server := start(t, index)
	first := server.Tell(OnRoot(), Status(500, ""), 0)
	server.Tell(OnPage("br*"), Status(502, ""), 0)
	statuses := func() string {
		return fmt.Sprint(get(t, server.IndexURL()).status, get(t, server.IndexURL()+"brie/").status)
	}
	if got := statuses(); got != "500 502" {
		t.Error(got)
	}
	first.Stop()
	if got := statuses(); got != "200 502" {
		t.Error(got)
	}
	server.Truth()
	if got := statuses(); got != "200 200" {
		t.Error(got)
	}
	if got := len(server.Requests().On(OnRoot()).With(500)); got != 1 {
		t.Errorf("%d requests with 500", got)
	}
	server.Forget()
	if q := server.Requests(); len(q) != 0 {
		t.Errorf("not forgotten: %v", q)
	}
}

func TestRecordSaysWhatWasAsked(t *testing.T) {
	index, name, _ := small(t)
	server := start(t, index)
	get(t, server.FileURL(name)+"?x=1", "Accept", "a/b", "Accept-Encoding", "identity", "If-None-Match", `"n"`,
		"Range", "bytes=1-2", "If-Range", `"r"`, "If-Modified-Since", "never", "User-Agent", "me/1")
	got := server.Requests()[0]
	want := Request{
		Method: "GET", Host: strings.TrimPrefix(server.URL(), "http://"), Path: index.Path(name), Query: "x=1",
		Accept: "a/b", AcceptEncoding: "identity", IfNoneMatch: `"n"`, Range: "bytes=1-2", IfRange: `"r"`,
		IfModifiedSince: "never", UserAgent: "me/1",
		Status: 200, Body: got.Body, Done: got.Done, subject: got.subject,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("recorded %+v,\nwant %+v", got, want)
	}
}

func TestControl(t *testing.T) {
	index, name, _ := small(t)
	server := start(t, index)
	control := httptest.NewServer(server.Control())
	defer control.Close()
	post := func(path string, want int) {
		t.Helper()
		if a, err := try(t, http.MethodPost, control.URL+path); err != nil || a.status != want {
			t.Errorf("%s: %d %s %v", path, a.status, a.body, err)
		}
	}
	post("/tell?lie=file:brie*+status:503,3+1", 204)
	if a := get(t, server.FileURL(name), "Range", "bytes=1-2"); a.status != 503 {
		t.Errorf("status %d", a.status)
	}
	post("/tell?lie=file:*+half", 204)
	post("/truth", 204)
	if a := get(t, server.FileURL(name)); a.status != 200 || a.err != nil {
		t.Errorf("status %d", a.status)
	}
	for _, bad := range []string{"", "file:*", "file:*+nonsense", "nobody+half", "file:*+half+x", "file:[+half"} {
		post("/tell?lie="+bad, 400)
	}
	post("/kill", 204)
	post("/kill", 400)
	post("/revive", 204)
	post("/blackhole?on=maybe", 400)
	post("/blackhole?on=true", 204)
	post("/blackhole?on=false", 204)
	list := string(get(t, control.URL+"/requests").body)
	if want := "GET " + index.Path(name) + " bytes=1-2 -> 503, 24 bytes, lies: status:503,3\n"; !strings.HasPrefix(list, want) {
		t.Errorf("requests:\n%s", list)
	}
}
