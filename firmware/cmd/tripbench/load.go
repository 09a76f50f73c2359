package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cheeseboard/syncer/upstreamtest"
)

// load is what is to be fetched: projects of one file each.
type load struct {
	name  string
	files int
	size  int64 // bytes of each

	index *upstreamtest.Index
	names []string // of the files, by project
}

// total is the bytes of all files.
func (l *load) total() int64 { return int64(l.files) * l.size }

// project is the name of the i-th.
func (l *load) project(i int) string { return fmt.Sprintf("%s-cheese-%03d", l.name, i) }

// make makes the index, once.
func (l *load) make() error {
	if l.index != nil {
		return nil
	}
	l.index = upstreamtest.NewIndex()
	for i := range l.files {
		filename, err := l.index.AddBulk(upstreamtest.Bulk{Name: l.project(i), Version: "1.0", Size: l.size, Seed: uint64(i)})
		if err != nil {
			return err
		}
		l.names = append(l.names, filename)
	}
	return nil
}

// inFolder counts the bytes of the load's files that lie whole in a folder.
func inFolder(folder string, l *load) (n int64) {
	for _, name := range l.names {
		if info, err := os.Stat(filepath.Join(folder, name)); err == nil && info.Size() == l.size {
			n += l.size
		}
	}
	return n
}

// inStore counts the bytes of files of the load's size in the data folder of a
// cheeseboard, which has verified them.
func inStore(folder string, l *load) (n int64) {
	found, err := filepath.Glob(filepath.Join(folder, "data", "blobs", "*", "*"))
	if err != nil {
		return 0
	}
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.Size() == l.size {
			n += l.size
		}
	}
	return n
}

// settings are the configuration of a cheeseboard that mirrors the load.
func (l *load) settings(index, ca string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[upstream]\nurl = %q\nca-file = %q\n[storage]\nreserve = 0\n[sync]\nprojects = [\n", index, ca)
	for i := range l.files {
		fmt.Fprintf(&b, "\t%q,\n", l.project(i))
	}
	b.WriteString("]\n")
	return b.String()
}
