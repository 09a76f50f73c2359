package app

import (
	"strings"
	"testing"

	"cheeseboard/firmware/health"
)

// TestProbeTables holds that a 32-bit box says in time that it is full.
func TestProbeTables(t *testing.T) {
	for _, c := range []struct {
		bytes, limit int64
		severity     health.Severity
		says         string
	}{
		{5 << 30, 0, health.OK, "can be read"},
		{600 << 20, 1200 << 20, health.OK, "can be read"},
		{1100 << 20, 1200 << 20, health.Attention, "1100 MB of the 1200 MB"},
		{1201 << 20, 1200 << 20, health.Attention, "nothing new is stored"},
	} {
		f := probeTables(c.bytes, c.limit)
		if f.Severity != c.severity || !strings.Contains(f.Summary, c.says) || (f.Severity == health.OK) != (f.Action == "") {
			t.Errorf("%d of %d: %+v", c.bytes, c.limit, f)
		}
	}
}
