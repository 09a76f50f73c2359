package config

import (
	"slices"
	"strings"
)

const (
	envPrefix     = "CHEESEBOARD_"
	envTestPrefix = "CHEESEBOARD_TEST_"

	// FileVariable is the environment variable that names the file.
	FileVariable = "CHEESEBOARD_CONFIG"

	// machineVariable and gateVariable are firmware/machine's, by which an init of ours is
	// found, and waited for.
	machineVariable = "CHEESEBOARD_MACHINE"
	gateVariable    = "CHEESEBOARD_MACHINE_GATE"
)

// notSettings begin as settings do, and are none.
var notSettings = []string{FileVariable, machineVariable, gateVariable}

// ApplyEnv sets what the variables of environ say, which is a list of
// "NAME=value" as os.Environ gives it; of a name that is there twice the last
// one counts. The error is of type Problems, and names every variable that is
// not a key or has a bad value; c is then as it was.
func ApplyEnv(c *Config, environ []string) error {
	next := *c
	keys := keysOf(&next)
	var problems Problems
	for i, assignment := range environ {
		name, text, _ := strings.Cut(assignment, "=")
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, envTestPrefix) || slices.Contains(notSettings, name) {
			continue
		}
		later := func(other string) bool { return strings.HasPrefix(other, name+"=") }
		if slices.ContainsFunc(environ[i+1:], later) {
			continue
		}
		at := slices.IndexFunc(keys, func(k key) bool { return k.variable() == name })
		if at < 0 {
			problems = append(problems, Problem{Key: shorten(oneLine(name)), Reason: unknownVariable(name, keys)})
			continue
		}
		for _, f := range keys[at].set(keys[at].fromText(text)) {
			problems = append(problems, Problem{Key: name, Reason: f.String()})
		}
	}
	if len(problems) == 0 {
		*c = next
	}
	return problems.orNil()
}

// unknownVariable says which variable may have been meant: one with the table
// left out, or one with few typing mistakes.
func unknownVariable(name string, keys []key) string {
	names := []string{FileVariable}
	var ending []string
	for _, k := range keys {
		variable := k.variable()
		names = append(names, variable)
		if last := strings.TrimPrefix(name, envPrefix); strings.HasSuffix(variable, "_"+last) {
			ending = append(ending, variable)
		}
	}
	meant := nearest(name, names, "=")
	if len(ending) == 1 {
		meant = ending[0]
	}
	if meant != "" {
		return "unknown variable; did you mean " + meant + "?"
	}
	return `unknown variable; "cheeseboard config" prints all keys: sync.max-file-size is CHEESEBOARD_SYNC_MAX_FILE_SIZE`
}

// Set sets one key, as the flag --set does. The path is dotted, as in
// "sync.interval". The value is TOML, or text without quotes. The error is of
// type Problems, and c is then as it was.
func Set(c *Config, path, value string) error {
	next := *c
	keys := keysOf(&next)
	i := slices.IndexFunc(keys, func(k key) bool { return k.path == path })
	if i < 0 {
		return Problems{{Source: "--set", Key: shorten(oneLine(path)), Reason: unknown(path, false, keys)}}
	}
	var problems Problems
	for _, f := range keys[i].set(keys[i].fromText(value)) {
		problems = append(problems, Problem{Source: "--set", Key: path, Reason: f.String()})
	}
	if len(problems) == 0 {
		*c = next
	}
	return problems.orNil()
}
