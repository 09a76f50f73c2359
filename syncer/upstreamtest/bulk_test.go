package upstreamtest

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
)

// TestBulk compares every way to read the bytes, and what the server sends.
func TestBulk(t *testing.T) {
	b := Bulk{Name: "gouda", Version: "1.0", Size: 10_007, Seed: 5}
	whole, err := io.ReadAll(b.Content())
	if err != nil || int64(len(whole)) != b.Size {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	if err := iotest.TestReader(b.Content(), whole); err != nil {
		t.Error(err)
	}
	other := Bulk{Size: b.Size, Seed: 6}
	if o, _ := io.ReadAll(other.Content()); bytes.Equal(o, whole) {
		t.Error("another seed gives the same bytes")
	}
	x := NewIndex()
	filename, err := x.AddBulk(b)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(x)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	request, err := http.NewRequest(http.MethodGet, server.FileURL(filename), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Range", "bytes=3003-")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	rest, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusPartialContent || !bytes.Equal(rest, whole[3003:]) {
		t.Errorf("status %d, %d bytes, %v", answer.StatusCode, len(rest), err)
	}
	if _, err := x.AddBulk(Bulk{Name: "gouda", Version: "1.0", Size: -1}); err == nil {
		t.Error("a negative size is accepted")
	}
}
