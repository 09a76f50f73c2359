package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestApplyEnv(t *testing.T) {
	c := Default()
	err := ApplyEnv(&c, []string{
		"PATH=/bin", "=C:=C:\\", "CHEESEBOARDX=1", "CHEESEBOARD_TEST_SPEED=fast", "CHEESEBOARD_CONFIG=box.toml",
		"CHEESEBOARD_SYNC_INTERVAL=soon", // overridden below, so never looked at
		"CHEESEBOARD_SERVE_LISTEN=[::]:80",
		"CHEESEBOARD_SYNC_INTERVAL=90m",
		"CHEESEBOARD_SYNC_MAX_FILE_SIZE=1000000",
		"CHEESEBOARD_SYNC_PROJECTS=numpy>=2,<3\n\n  uvicorn[standard] \n",
		"CHEESEBOARD_SYNC_PYTHON=3.10, 3.12",
		`CHEESEBOARD_SYNC_PLATFORMS=["any"]`,
		"CHEESEBOARD_DATA='D:\\packages'",
		"CHEESEBOARD_UPSTREAM_CONTACT=1=2",
		"CHEESEBOARD_PULL_ENABLED=false",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Serve.Listen = "[::]:80"
	want.Sync.Interval = Duration(90 * time.Minute)
	want.Sync.MaxFileSize = 1_000_000
	want.Sync.Projects = []string{"numpy>=2,<3", "uvicorn[standard]"}
	want.Sync.Python = []string{"3.10", "3.12"}
	want.Sync.Platforms = []string{"any"}
	want.Data = `D:\packages`
	want.Upstream.Contact = "1=2"
	want.Pull.Enabled = false
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("ApplyEnv (-want +got):\n%s", diff)
	}

	if err := ApplyEnv(&c, []string{"CHEESEBOARD_SYNC_PROJECTS=", "CHEESEBOARD_UPSTREAM_CONTACT="}); err != nil {
		t.Fatal(err)
	}
	if c.Sync.Projects != nil || c.Upstream.Contact != "" {
		t.Errorf("an empty value leaves %q and %q", c.Sync.Projects, c.Upstream.Contact)
	}
}

func TestApplyEnvRefuses(t *testing.T) {
	c := Default()
	err := ApplyEnv(&c, []string{
		"CHEESEBOARD_DATA=elsewhere",
		"CHEESEBOARD_SYNC_INTERVALL=6h",
		"CHEESEBOARD_SYNC_INTERVAL=6 hours",
		"CHEESEBOARD_LISTEN=:80",
		"CHEESEBOARD_CONFIGURATION=x",
		"CHEESEBOARD_",
		"CHEESEBOARD_PULL_ENABLED=",
		"CHEESEBOARD_SYNC_PYTHON=",
		"CHEESEBOARD_SYNC_PLATFORMS=[any]",
		"CHEESEBOARD_SYNC_LATEST=1\nsync.connections = 2",
		"CHEESEBOARD_SERVE_NAME=\"cheese",
		"CHEESEBOARD_STORAGE_RESERVE=\xff",
	})
	const want = `CHEESEBOARD_SYNC_INTERVALL: unknown variable; did you mean CHEESEBOARD_SYNC_INTERVAL?
CHEESEBOARD_SYNC_INTERVAL: "6 hours": expected a duration such as "90s", "10m" or "6h"
CHEESEBOARD_LISTEN: unknown variable; did you mean CHEESEBOARD_SERVE_LISTEN?
CHEESEBOARD_CONFIGURATION: unknown variable; "cheeseboard config" prints all keys: sync.max-file-size is CHEESEBOARD_SYNC_MAX_FILE_SIZE
CHEESEBOARD_: unknown variable; "cheeseboard config" prints all keys: sync.max-file-size is CHEESEBOARD_SYNC_MAX_FILE_SIZE
CHEESEBOARD_PULL_ENABLED: "": expected true or false
CHEESEBOARD_SYNC_PYTHON: an empty list: expected a list, such as ["3.12", "3.13"]
CHEESEBOARD_SYNC_PLATFORMS: "[any]": expected a list, such as ["linux-x86_64", "linux-armv7l"]
CHEESEBOARD_SYNC_LATEST: "1\u000Async.connections = 2": expected a whole number from 0 to 1000000, such as 3
CHEESEBOARD_SERVE_NAME: "\"cheese": expected text in quotes, such as "cheeseboard.local"
CHEESEBOARD_STORAGE_RESERVE: "�": expected a size such as "2GB", "512MiB" or 1000000 (bytes)`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("ApplyEnv (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("the configuration changed although there was an error:\n%s", diff)
	}
}

func TestSetRefuses(t *testing.T) {
	for _, tt := range []struct{ path, value, want string }{
		{"sync.interval", "6 hours", `--set sync.interval: "6 hours": expected a duration such as "90s", "10m" or "6h"`},
		{"sync.intervall", "6h", `--set sync.intervall: unknown key; did you mean sync.interval?`},
		{"interval", "6h", `--set interval: unknown key; did you mean sync.interval?`},
		{"sync", "{}", `--set sync: unknown key; [sync] has projects, dependencies, latest, prereleases, sdists, python, platforms, interval, connections, max-file-size, removal-guard, names, pages`},
		{"", "1", `--set: unknown key; "cheeseboard config" prints all keys`},
		{"a\nb", "1", `--set a b: unknown key; "cheeseboard config" prints all keys`},
		{"data", "a\nb", `--set data: "a\u000Ab": expected text without control characters, such as "/srv/cheeseboard"`},
		{"sync.python", "3.12,3", `--set sync.python: "3": expected a Python version of two numbers such as "3.12"`},
		{"upstream.proxy", "ftp://me:secret@proxy", `--set upstream.proxy: "ftp://…@proxy": expected the URL of a proxy (http, https, socks5 or socks5h) such as "http://proxy.example.org:3128"`},
	} {
		c := Default()
		err := Set(&c, tt.path, tt.value)
		if err == nil || err.Error() != tt.want {
			t.Errorf("Set %q to %q:\n%v\nwant:\n%s", tt.path, tt.value, err, tt.want)
		}
		if diff := cmp.Diff(Default(), c); diff != "" {
			t.Errorf("Set %q changed the configuration although there was an error:\n%s", tt.path, diff)
		}
	}
}
