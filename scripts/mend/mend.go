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

// What is corrected, and where.
const (
	modulePath = "github.com/dgraph-io/ristretto/v2"
	brokenFile = "z/allocator.go"
	brokenExpr = "uint64((bufIdx+1)<<32)"
	mendedExpr = "uint64(bufIdx+1)<<32"
)

// Prepare makes sure that the corrected copy of ristretto, at the version that
// the go.mod in dir selects, exists below cache, and returns the absolute path
// of a go.mod that replaces ristretto by it. An empty cache means the user's
// cache folder. It may run concurrently with itself, also in other processes.
func Prepare(dir, cache string) (string, error) {
	version, source, err := locate(dir)
	if err != nil {
		return "", err
	}
	files, err := readTree(source)
	if err != nil {
		return "", fmt.Errorf("read %s %s: %w", modulePath, version, err)
	}
	if err := mend(files); err != nil {
		return "", fmt.Errorf("mend %s %s: %w", modulePath, version, err)
	}
	if cache, err = cacheFolder(cache); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	replacement := filepath.Join(cache, "ristretto-"+version+"-"+fingerprint(files))
	if err := ensureTree(replacement, files); err != nil {
		return "", fmt.Errorf("copy %s %s: %w", modulePath, version, err)
	}
	return writeModfile(dir, cache, replacement)
}

// locate asks the go command which version of ristretto the go.mod in dir
// selects, and where the module cache holds it. It downloads the module if the
// cache does not.
func locate(dir string) (version, source string, err error) {
	const format = "{{.Version}}\t{{.Dir}}\t{{if .Replace}}{{.Replace.Path}}{{end}}"
	for attempt := range 2 {
		out, err := runGo(dir, "list", "-m", "-f", format, modulePath)
		if err != nil {
			return "", "", err
		}
		fields := strings.Split(strings.TrimRight(string(out), "\n"), "\t")
		if len(fields) != 3 {
			return "", "", fmt.Errorf("locate %s: go list answered %q", modulePath, out)
		}
		if fields[2] != "" {
			return "", "", fmt.Errorf("locate %s: go.mod replaces it by %s already; remove that line, or this program", modulePath, fields[2])
		}
		if fields[1] != "" {
			return fields[0], fields[1], nil
		}
		if attempt == 0 {
			if _, err := runGo(dir, "mod", "download", modulePath); err != nil {
				return "", "", err
			}
		}
	}
	return "", "", fmt.Errorf("locate %s: it is not in the module cache, even after go mod download", modulePath)
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

// mend corrects the expression in place. Anything but exactly one occurrence is
// an error: the dependency has changed, and a person has to look at it.
func mend(files map[string][]byte) error {
	source, ok := files[brokenFile]
	if !ok {
		return fmt.Errorf("there is no %s; look where the allocator went, and whether it still needs mending", brokenFile)
	}
	if n := bytes.Count(source, []byte(brokenExpr)); n != 1 {
		return fmt.Errorf("%s holds %s %d times, not once; look whether it still needs mending", brokenFile, brokenExpr, n)
	}
	files[brokenFile] = bytes.Replace(source, []byte(brokenExpr), []byte(mendedExpr), 1)
	return nil
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

// writeModfile writes the go.mod of dir with a replace directive, and its go.sum
// under the name at which the go command looks for it: x.sum for x.mod.
func writeModfile(dir, cache, replacement string) (string, error) {
	mod, err := runGo(dir, "mod", "edit", "-print", "-replace="+modulePath+"="+replacement, "go.mod")
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
