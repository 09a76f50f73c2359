package card

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cheeseboard/firmware/config"
)

func TestLayout(t *testing.T) {
	end := int64(mib)
	for i, e := range Layout() {
		if e.Start < end || e.Start%mib != 0 || e.Size%mib != 0 || e.Size == 0 {
			t.Errorf("partition %d is %+v, after %d", i+1, e, end)
		}
		end = e.Start + e.Size
	}
	if l := Layout(); l[1].Size != l[2].Size {
		t.Errorf("the slots have %d and %d bytes", l[1].Size, l[2].Size)
	}
}

// TestCommandLine has init look for the card that this is.
func TestCommandLine(t *testing.T) {
	want := fmt.Sprintf("cheeseboard.disk=%x", diskID)
	if !slices.Contains(strings.Fields(string(commandLine)), want) {
		t.Errorf("the kernel is told %q, and not %s", commandLine, want)
	}
}

// TestArchive has cpio unpack what is for the kernel.
func TestArchive(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), cpio, "-idm", "--quiet")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(string(archive([]File{
		{Name: "init", Content: []byte("x"), Program: true}, {Name: "etc/deep/er/file", Content: []byte("five5")},
	}, []string{"proc"}, made)))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, mode := range map[string]os.FileMode{
		"init": 0o555, "etc/deep/er/file": 0o444, "proc": os.ModeDir | 0o755, "etc/deep": os.ModeDir | 0o755,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
			continue
		}
		if !info.IsDir() && !info.ModTime().Equal(made) {
			t.Errorf("%s is of %s", name, info.ModTime())
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "etc/deep/er/file")); err != nil || string(b) != "five5" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestConfigurationText takes away what keeps the examples on the card from counting: they
// must be right, and before that nothing may count.
func TestConfigurationText(t *testing.T) {
	parse := func(text string) config.Config {
		c, err := config.Parse("cheeseboard.toml", []byte(text))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		return c
	}
	parse(string(configurationText))
	setting := regexp.MustCompile(`(?m)^# (\[|[a-z-]+ = |\]|    ")`)
	c := parse(setting.ReplaceAllString(string(configurationText), "$1"))
	if len(c.Sync.Projects) != 2 || c.Upstream.Proxy == "" || c.Serve.Name == "" {
		t.Errorf("the examples mean %+v", c)
	}
}

func TestLicenceOf(t *testing.T) {
	for text, want := range map[string]string{
		"Redistribution and use in source and binary forms ... Neither the name of Google":  "BSD-3-Clause",
		"Redistribution and use in source\n// and binary forms":                             "BSD-2-Clause",
		"Permission is hereby granted, free of charge ... THE SOFTWARE IS PROVIDED “AS IS”": "MIT",
		"Apache License\n  Version 2.0, January 2004":                                       "Apache-2.0",
		"Mozilla Public License Version 2.0":                                                "MPL-2.0",
		"all rights reserved":                                                               "",
	} {
		if got := licenceOf([]byte(text)); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
