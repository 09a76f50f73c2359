// Package config reads cheeseboard.toml: one struct, documented defaults, and
// no key that is silently ignored.
//
// # The file
//
// The file is TOML in UTF-8, at most 256 KiB. Every key may be left out; the
// default then holds. A key stands under its [table], or in the dotted or
// inline form that TOML also allows:
//
//	data = "/srv/cheeseboard"
//
//	[serve]
//	listen = ":80"
//
//	[sync]
//	projects = ["numpy>=2,<3", "uvicorn[standard]"]
//	interval = "6h"
//
// [Render] prints every key with its meaning, default and an example; so does
// `cheeseboard config`. Relative paths count from the current folder.
//
// Values with a unit are strings:
//   - a duration is a number and a unit, or several: "1500ms", "90s", "10m",
//     "6h", "1h30m" (see [Duration]);
//   - a size is a number and a unit of bytes, decimal (kB, MB, GB, TB) or
//     binary (KiB, MiB, GiB, TiB): "2GB", "512MiB". A plain number counts bytes
//     (see [Size]).
//
// # Where values come from
//
// Defaults are overridden by the file, the file by the environment, the
// environment by flags ([Sources]). The variable of a key is its path in
// capitals, with underscores: sync.max-file-size is
// CHEESEBOARD_SYNC_MAX_FILE_SIZE. CHEESEBOARD_CONFIG names the file, and
// variables that begin with CHEESEBOARD_TEST_ belong to the tests; any other
// variable that begins with CHEESEBOARD_ and is not a key is refused.
//
// In the environment and in flags text needs no quotes (serve.listen=:80), and
// a list is either a TOML array or bare: platforms and Python versions between
// commas (3.12,3.13), requirements one on each line, since a requirement may
// hold a comma. An empty value empties a text or a list.
//
// # What is refused
//
// Whatever is not understood is refused: unknown keys, wrong types, values out
// of range. All problems of a source are reported at once, one on each line,
// with the place, what was expected and an example:
//
//	cheeseboard.toml:12:12: sync.interval: "6 hours": expected a duration such as "90s", "10m" or "6h"
//	cheeseboard.toml:13:1: sync.intervall: unknown key; did you mean sync.interval?
//	CHEESEBOARD_PULL_ENABLED: "maybe": expected true or false
//
// Lines and columns count from 1, columns in characters. A document that is not
// TOML is reported at its first mistake only.
package config
