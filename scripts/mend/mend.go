package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Prepare makes sure that a corrected copy of each module that has faults, at the
// version that the go.mod in dir selects, exists below cache, and returns the
// absolute path of a go.mod that replaces the modules by the copies. An empty cache
// means the user's cache folder. It may run concurrently with itself, also in other
// processes.
func Prepare(dir, cache string) (string, error) {
	cache, err := cacheFolder(cache)
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	var replacements []string
	for _, m := range modules {
		copied, err := m.prepare(dir, cache)
		if err != nil {
			return "", err
		}
		replacements = append(replacements, "-replace="+m.path+"="+copied)
	}
	return writeModfile(dir, cache, replacements)
}

// prepare makes the corrected copy of one module below cache, and gives its folder.
func (m module) prepare(dir, cache string) (string, error) {
	version, source, err := m.locate(dir)
	if err != nil {
		return "", err
	}
	files, err := readTree(source)
	if err != nil {
		return "", fmt.Errorf("read %s %s: %w", m.path, version, err)
	}
	if err := m.mend(files); err != nil {
		return "", fmt.Errorf("mend %s %s: %w", m.path, version, err)
	}
	copied := filepath.Join(cache, m.name()+"-"+version+"-"+fingerprint(files))
	if err := ensureTree(copied, files); err != nil {
		return "", fmt.Errorf("copy %s %s: %w", m.path, version, err)
	}
	return copied, nil
}

// locate asks the go command which version of the module the go.mod in dir
// selects, and where the module cache holds it. It downloads the module if the
// cache does not.
func (m module) locate(dir string) (version, source string, err error) {
	const format = "{{.Version}}\t{{.Dir}}\t{{if .Replace}}{{.Replace.Path}}{{end}}"
	for attempt := range 2 {
		out, err := runGo(dir, "list", "-m", "-f", format, m.path)
		if err != nil {
			return "", "", err
		}
		fields := strings.Split(strings.TrimRight(string(out), "\n"), "\t")
		if len(fields) != 3 {
			return "", "", fmt.Errorf("locate %s: go list answered %q", m.path, out)
		}
		if fields[2] != "" {
			return "", "", fmt.Errorf("locate %s: go.mod replaces it by %s already; remove that line, or this program", m.path, fields[2])
		}
		if fields[1] != "" {
			return fields[0], fields[1], nil
		}
		if attempt == 0 {
			if _, err := runGo(dir, "mod", "download", m.path); err != nil {
				return "", "", err
			}
		}
	}
	return "", "", fmt.Errorf("locate %s: it is not in the module cache, even after go mod download", m.path)
}

// readTree reads every regular file below dir; keys are slash-separated paths.
func readTree(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files[path], err = fs.ReadFile(root, path)
		return err
	})
	return files, err
}

// fingerprint names a tree by its content.
func fingerprint(files map[string][]byte) string {
	hash := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		hash.Write(fmt.Appendf(nil, "%d %s %d\n", len(path), path, len(files[path])))
		hash.Write(files[path])
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

// ensureTree makes dir hold exactly files. A folder that a killed run left half
// written, or that somebody edited, is written anew.
func ensureTree(dir string, files map[string][]byte) error {
	present, err := readTree(dir)
	if err == nil && fingerprint(present) == fingerprint(files) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		target := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, files[path], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeModfile writes the go.mod of dir with replace directives, and its go.sum under the name at which the go command looks for it: x.sum for x.mod.
func writeModfile(dir, cache string, replacements []string) (string, error) {
	mod, err := runGo(dir, slices.Concat([]string{"mod", "edit", "-print"}, replacements, []string{"go.mod"})...)
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("read the checksums: %w", err)
	}
	name := filepath.Join(cache, "go-"+fingerprint(map[string][]byte{"go.mod": mod, "go.sum": sum}))
	for ext, content := range map[string][]byte{".mod": mod, ".sum": sum} {
		// Another build may be reading the file: leave it alone if it is right.
		if present, err := os.ReadFile(name + ext); err == nil && bytes.Equal(present, content) {
			continue
		}
		if err := os.WriteFile(name+ext, content, 0o644); err != nil {
			return "", fmt.Errorf("write modfile: %w", err)
		}
	}
	return name + ".mod", nil
}

// cacheFolder makes the folder for copies and returns its absolute path.
func cacheFolder(dir string) (string, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w; set XDG_CACHE_HOME or HOME", err)
		}
		dir = filepath.Join(base, "cheeseboard", "mended")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return dir, nil
}

// lock waits until no other process holds the lock file. The kernel releases it
// when the holder dies, so a killed run blocks nobody.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil // nothing was written; closing unlocks
}

// runGo runs the go command in dir for this machine, whatever target the
// environment asks for.
func runGo(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=", "GOARCH=", "GOFLAGS=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
