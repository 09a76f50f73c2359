package clock

import (
	"runtime/debug"
	"testing"
	"time"
)

func TestLatestBuilt(t *testing.T) {
	noted := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm"}, {Key: "vcs.time", Value: "2026-10-01T00:00:00Z"}}}
	for _, test := range []struct {
		stamp string
		info  *debug.BuildInfo
		want  string
	}{
		{"", nil, "2026-01-01T00:00:00Z"},
		{"2026-11-23T09:00:00+02:00", nil, "2026-11-23T07:00:00Z"},
		{"", noted, "2026-10-01T00:00:00Z"},
		{"yesterday", noted, "2026-10-01T00:00:00Z"},
		{"1999-01-01T00:00:00Z", nil, "2026-01-01T00:00:00Z"},
	} {
		if got := latestBuilt(test.stamp, test.info).Format(time.RFC3339); got != test.want {
			t.Errorf("stamp %q, %v: %s, not %s", test.stamp, test.info, got, test.want)
		}
	}
}
