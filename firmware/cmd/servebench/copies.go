package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// copier makes the tree of files that nginx gives out, of what the box answers.
type copier struct {
	from string // the address of the box
	tree string
}

// all copies the files, and then the pages, which change when a file has come.
func (c *copier) all(ctx context.Context, x *index) error {
	pages := []string{"/simple/"}
	for _, project := range append([]string{small, large, heavy, storm}, dependencies...) {
		page := "/simple/" + project + "/"
		if _, _, err := fetch(ctx, c.from+page, accept...); err != nil {
			return err
		}
		for _, path := range []string{x.last[project], x.last[project] + ".metadata"} {
			if err := c.file(ctx, path); err != nil {
				return err
			}
		}
		pages = append(pages, page)
	}
	for _, page := range pages {
		if err := c.page(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) page(ctx context.Context, path string) error {
	plain, _, err := fetch(ctx, c.from+path, accept...)
	if err != nil {
		return err
	}
	packed, header, err := fetch(ctx, c.from+path, append(accept, packing)...)
	if err != nil {
		return err
	}
	if header.Get("Content-Encoding") != "gzip" {
		return fmt.Errorf("%s is not compressed", path)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	again, err := io.ReadAll(z)
	if err == nil && !bytes.Equal(again, plain) {
		err = fmt.Errorf("%s says something else when it is compressed", path)
	}
	return errors.Join(err, c.write(path+"index.json", plain), c.write(path+"index.json.gz", packed))
}

func (c *copier) file(ctx context.Context, path string) error {
	body, _, err := fetch(ctx, c.from+path)
	if err != nil {
		return err
	}
	return c.write(path, body)
}

func (c *copier) write(path string, body []byte) error {
	name := filepath.Join(c.tree, filepath.FromSlash(path))
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, body, 0o644)
	}
	return err
}

// fetch asks for something, with headers in the form that wrk takes.
func fetch(ctx context.Context, address string, headers ...string) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, line := range headers {
		name, value := cutHeader(line)
		r.Header.Set(name, value)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotModified {
		err = fmt.Errorf("%s: %s: %s", address, resp.Status, body)
	}
	return body, resp.Header, err
}

// forget has the kernel give up what it keeps of the files below a folder, and reads
// them: however they were written, both servers' files then lie in memory alike.
func forget(folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the store has put another in its place
		}
		if err != nil {
			return err
		}
		// What was not written to the disk yet would stay.
		err = errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		if err == nil {
			_, err = io.Copy(io.Discard, f)
		}
		return errors.Join(err, f.Close())
	})
}
