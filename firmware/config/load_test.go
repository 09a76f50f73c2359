package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoad(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "box.toml")
	_, err := Load(missing)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a missing file: %v", err)
	}
	if want := `write one with "cheeseboard config --output ` + missing + `"`; !strings.Contains(err.Error(), want) {
		t.Errorf("a missing file: %v\nwant: …%s…", err, want)
	}
	got, err := LoadOptional(missing)
	if err != nil {
		t.Errorf("a missing optional file: %v", err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("a missing optional file is not the default:\n%s", diff)
	}

	file := write(t, missing, "pull.enabled = false\n")
	for name, load := range map[string]func(string) (Config, error){"Load": Load, "LoadOptional": LoadOptional} {
		if c, err := load(file); err != nil || c.Pull.Enabled {
			t.Errorf("%s: pull.enabled is %v, %v", name, c.Pull.Enabled, err)
		}
		if _, err := load(filepath.Dir(file)); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of a folder: %v", name, err)
		}
	}
	write(t, file, "pull.enabled = 1\n")
	if _, err := LoadOptional(file); err == nil || !strings.HasPrefix(err.Error(), file+":1:16: pull.enabled: 1: expected") {
		t.Errorf("an optional file with a mistake: %v", err)
	}
	write(t, file, strings.Repeat("#", maxFile))
	if _, err := Load(file); err != nil {
		t.Errorf("a file of %d bytes: %v", maxFile, err)
	}
	write(t, file, strings.Repeat("#", maxFile+1))
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "larger than 262144 bytes") {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestSourcesOverrideInOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	// Each key is set by one source more than the one before it.
	const all = "pull.fresh = \"1m\"\npull.wait = \"1s\"\nsync.interval = \"1h\"\n"
	write(t, DefaultFile, all)
	environ := []string{"CHEESEBOARD_PULL_WAIT=2s", "CHEESEBOARD_SYNC_INTERVAL=2h"}
	got, err := Sources{Environ: environ, Set: []string{"sync.interval=3h"}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Pull.Fresh = Duration(time.Minute)
	want.Pull.Wait = Duration(2 * time.Second)
	want.Sync.Interval = Duration(3 * time.Hour)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Sources.Load (-want +got):\n%s", diff)
	}
	if got, err = (Sources{Set: []string{"sync.interval=3h", " sync.interval = 5h "}}).Load(); err != nil || got.Sync.Interval != 5*hour {
		t.Errorf("the last flag does not count: %v, %v", got.Sync.Interval, err)
	}
}

func TestSourcesFindTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if c, err := (Sources{}).Load(); err != nil || c.Data != Default().Data {
		t.Fatalf("without a file: %q, %v", c.Data, err)
	}
	write(t, DefaultFile, `data = "default"`)
	write(t, "env.toml", `data = "env"`)
	write(t, "flag.toml", `data = "flag"`)
	for _, tt := range []struct {
		sources Sources
		want    string
	}{
		{Sources{}, "default"},
		{Sources{Environ: []string{"CHEESEBOARD_CONFIG="}}, "default"},
		{Sources{Environ: []string{"CHEESEBOARD_CONFIG=none.toml", "CHEESEBOARD_CONFIG=env.toml"}}, "env"},
		{Sources{Environ: []string{"CHEESEBOARD_CONFIG=env.toml"}, File: "flag.toml"}, "flag"},
	} {
		if c, err := tt.sources.Load(); err != nil || c.Data != tt.want {
			t.Errorf("%+v: %q, %v; want %q", tt.sources, c.Data, err, tt.want)
		}
	}
	if _, err := (Sources{Environ: []string{"CHEESEBOARD_CONFIG=none.toml"}}).Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that a variable names and that is missing: %v", err)
	}
}

func TestSourcesReportAllAtOnce(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "box.toml"), "dato = 1")
	c, err := Sources{
		File:    file,
		Environ: []string{"CHEESEBOARD_PULL_WAIT=1", "CHEESEBOARD_DATA=ok"},
		Set:     []string{"sync", "log.level=loud"},
	}.Load()
	want := file + `:1:1: dato: unknown key; did you mean data?
CHEESEBOARD_PULL_WAIT: "1": expected a duration such as "90s", "10m" or "6h"
--set sync: expected key=value such as sync.interval=6h
--set log.level: "loud": expected "debug", "info", "warn" or "error"`
	if err == nil || err.Error() != want {
		t.Errorf("Sources.Load:\n%v\nwant:\n%s", err, want)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("with an error the defaults are not returned:\n%s", diff)
	}
}
