package card

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"time"
)

// File is a file for the card.
type File struct {
	Name    string // with slashes, relative
	Content []byte
	Program bool // may be run
}

// archive gives files in the form in which the kernel takes its first file system: cpio,
// "newc" (Documentation/driver-api/early-userspace/buffer-format.rst). Folders come by
// themselves, those in folders empty. All is root's, and of one time.
func archive(files []File, folders []string, at time.Time) []byte {
	a := &archiver{at: at, made: map[string]bool{".": true}}
	for _, folder := range folders {
		a.folder(folder)
	}
	for _, f := range files {
		a.folder(path.Dir(f.Name))
		mode := uint32(0o100444)
		if f.Program {
			mode = 0o100555
		}
		a.entry(f.Name, mode, 1, f.Content)
	}
	a.number = 0
	a.at = time.Unix(0, 0)
	a.entry("TRAILER!!!", 0, 1, nil)
	return a.out.Bytes()
}

type archiver struct {
	out    bytes.Buffer
	at     time.Time
	number uint32
	made   map[string]bool
}

func (a *archiver) folder(name string) {
	if a.made[name] {
		return
	}
	a.folder(path.Dir(name))
	a.made[name] = true
	a.entry(name, 0o040755, 2, nil)
}

func (a *archiver) entry(name string, mode, links uint32, content []byte) {
	// inode mode uid gid nlink mtime size major minor rmajor rminor namesize check
	fmt.Fprintf(&a.out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.number, mode, 0, 0, links, a.at.Unix(), len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.pad()
	a.out.Write(content)
	a.pad()
	a.number++
}

// pad fills up to a multiple of four.
func (a *archiver) pad() {
	for a.out.Len()%4 != 0 {
		a.out.WriteByte(0)
	}
}

// readFiles reads those that match patterns in a folder, without its subfolders, and puts
// them below a name.
func readFiles(from fs.FS, below string, patterns ...string) ([]File, error) {
	var files []File
	for _, pattern := range patterns {
		names, err := fs.Glob(from, pattern)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("find %s: %w", pattern, fs.ErrNotExist)
		}
		for _, name := range names {
			content, err := fs.ReadFile(from, name)
			if err != nil {
				return nil, err
			}
			files = append(files, File{Name: path.Join(below, name), Content: content})
		}
	}
	return files, nil
}
