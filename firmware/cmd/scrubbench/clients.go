package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	clients = 8
	// think is what a client waits between an answer and its next request: eight of
	// them are a class that installs, not an attack.
	think = 20 * time.Millisecond
	// part is what is asked for of a large file.
	part = 256 << 10
)

// load asks a box for pages, small files and parts of large ones, these from the
// disk, and gives how long each answer took.
func (b *bench) load(ctx context.Context, url string, d time.Duration, seed uint64) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var running sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	for client := range clients {
		running.Go(func() {
			dice := rand.New(rand.NewPCG(seed, uint64(client)))
			for ctx.Err() == nil {
				one, err := b.ask(url, dice)
				mu.Lock()
				if took = append(took, one); err != nil {
					failed = err
				}
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(think):
				}
			}
		})
	}
	running.Wait()
	return took, failed
}

// ask makes one request.
func (b *bench) ask(url string, dice *rand.Rand) (time.Duration, error) {
	f := &b.index.files[dice.IntN(len(b.index.files))]
	req, err := http.NewRequest(http.MethodGet, url+"/simple/"+f.project+"/", nil)
	if err != nil {
		return 0, err
	}
	want := http.StatusOK
	if dice.IntN(3) > 0 {
		req.URL.Path = fmt.Sprintf("/files/%s/%x/%s", f.project, f.sha256, f.name)
		if f.size > part {
			b.cool(f)
			from := dice.Int64N(f.size - part)
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+part-1))
			want = http.StatusPartialContent
		}
	}
	begun := time.Now()
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	if resp.StatusCode != want {
		return 0, fmt.Errorf("%s: %s", req.URL.Path, resp.Status)
	}
	return time.Since(begun), nil
}

// path is where a box keeps a file.
func (b *bench) path(f *file) string {
	name := fmt.Sprintf("%x", f.sha256)
	return filepath.Join(b.data, "blobs", name[:2], name)
}

// cool drops a file from the page cache.
func (b *bench) cool(f *file) {
	if file, err := os.Open(b.path(f)); err == nil {
		_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED) // then it is warm
		_ = file.Close()                                           // only read
	}
}

// percentile gives the value below which p of 100 lie.
func percentile(took []time.Duration, p int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)*p/100, len(took)-1)]
}
