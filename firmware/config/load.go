package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// DefaultFile is the file that is read where none is named, if it is there.
const DefaultFile = "cheeseboard.toml"

// maxFile is the largest file that is read, in bytes: room for ten thousand
// requirements. The TOML library's search for keys that are set twice takes time
// that grows with the square of their number, so a wrong file must not be large.
const maxFile = 256 << 10

// Load reads the file at path, which must exist, over the defaults. The error
// is of type Problems where the file was read and something in it is wrong, and
// wraps fs.ErrNotExist where there is none.
func Load(path string) (Config, error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), fmt.Errorf("%w; write one with \"cheeseboard config --output %s\", or name the file that you mean", err, path)
	}
	if err != nil {
		return Default(), err
	}
	return Parse(path, data)
}

// LoadOptional is Load for a file that may be absent; the defaults then hold.
func LoadOptional(path string) (Config, error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	if err != nil {
		return Default(), err
	}
	return Parse(path, data)
}

func readFile(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read the configuration %s: larger than %d bytes; is it the right file?", path, maxFile)
	}
	return data, nil
}

// Sources are the places that a configuration comes from, beside the defaults.
// Each overrides those above it.
type Sources struct {
	// File is the path of a file that must exist. Empty: the one that
	// CHEESEBOARD_CONFIG names, which must exist, or DefaultFile if it is there.
	File    string
	Environ []string // "NAME=value", as os.Environ gives it
	Set     []string // "key=value", as the flags --set give it, in their order
}

// Load reads all sources. The error is of type Problems and names what is wrong
// in any of them, unless the file cannot be read at all. The Config is then the
// default.
func (s Sources) Load() (Config, error) {
	c, fileErr := s.loadFile()
	if err := join(fileErr, s.over(&c)); err != nil {
		return Default(), err
	}
	return c, nil
}

// over lays environment and flags over c.
func (s Sources) over(c *Config) error {
	errs := []error{ApplyEnv(c, s.Environ)}
	for _, assignment := range s.Set {
		path, value, ok := strings.Cut(assignment, "=")
		if !ok {
			errs = append(errs, Problems{{Source: "--set", Key: shorten(oneLine(assignment)),
				Reason: `expected key=value such as sync.interval=6h`}})
			continue
		}
		errs = append(errs, Set(c, strings.TrimSpace(path), strings.TrimSpace(value)))
	}
	return join(errs...)
}

func (s Sources) loadFile() (Config, error) {
	path, named := s.file()
	if !named {
		return LoadOptional(path)
	}
	return Load(path)
}

// file is the path of the file, and whether somebody has named it: then it must exist.
func (s Sources) file() (path string, named bool) {
	path = s.File
	for _, assignment := range s.Environ {
		if name, value, _ := strings.Cut(assignment, "="); name == FileVariable && s.File == "" {
			path = value // the last one counts
		}
	}
	if path == "" {
		return DefaultFile, false
	}
	return path, true
}
