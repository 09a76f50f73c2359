package clock

import (
	"runtime/debug"
	"time"
)

// committed is when the source was committed, as of RFC 3339. scripts/build and
// scripts/image stamp it in: what they build says nothing else of its source.
var committed string

// Built is when the source of this program was committed: a clock that shows less is
// wrong. Where that is not known, it is a day before which the source did not exist.
func Built() time.Time {
	info, _ := debug.ReadBuildInfo()
	return latestBuilt(committed, info)
}

// latestBuilt reads it from the stamp, or from what the go command notes; info may be nil.
func latestBuilt(stamp string, info *debug.BuildInfo) time.Time {
	told := []string{stamp}
	if info != nil {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				told = append(told, s.Value)
			}
		}
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, text := range told {
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.After(at) {
			at = t
		}
	}
	return at.UTC()
}
