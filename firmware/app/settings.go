package app

import (
	"log/slog"
	"os"
	"strings"

	"cheeseboard/firmware/config"
	"cheeseboard/storage/durable"
)

// Config is what a box is opened with.
type Config = config.Config

// Settings say where the configuration comes from: defaults, then the file, then
// the environment, then flags.
type Settings = config.Sources

// DefaultConfig is the configuration where nothing is set.
func DefaultConfig() Config { return config.Default() }

// RenderConfig prints a configuration as a file with comments; a password in it
// is left out.
func RenderConfig(c Config) []byte { return config.Render(c.Redacted()) }

// WriteConfig writes a configuration to a file, whole or not at all. A password
// in it is written too: the file is for its owner only.
func WriteConfig(path string, c Config) error {
	return (&durable.Disk{}).WriteFile(path, config.Render(c), 0o600)
}

// NewLog makes the log that a configuration asks for, on standard error.
func NewLog(c Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Log.Level}
	if c.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

// PipCommand is the command to try against an index at url.
func PipCommand(url, project string) string {
	host := strings.TrimPrefix(url, "http://")
	host, _, _ = strings.Cut(host, "/")
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	s := "pip install --index-url " + url
	if host != "localhost" && host != "127.0.0.1" && host != "[::1]" {
		s += " --trusted-host " + host
	}
	return s + " " + project
}
