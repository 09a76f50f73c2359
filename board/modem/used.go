package modem

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Used is how many bytes have gone through an interface in a month, as this box has
// seen them: what the operator counts may be more. It can be marshalled, to be kept
// over a boot.
type Used struct {
	Month string `json:"month"` // as 2026-11
	Bytes int64  `json:"bytes"`
	Boot  string `json:"boot"` // of the machine, whose counters begin at 0 with it
	Last  int64  `json:"last"` // what they showed
}

// Add takes what the counters show at a moment, in a boot, and gives what is used then.
// A counter that shows less than it did has begun anew.
func (u Used) Add(now time.Time, boot string, shown int64) Used {
	grown := shown - u.Last
	if boot != u.Boot || grown < 0 {
		grown = shown
	}
	if month := now.Format("2006-01"); month != u.Month {
		first := u.Month == ""
		u.Month, u.Bytes = month, 0
		if first {
			grown = 0 // whose they are, nobody knows
		}
	}
	u.Bytes += grown
	u.Boot, u.Last = boot, shown
	return u
}

// Counters reads what an interface of the network has carried, in both directions,
// since it came to be.
func Counters(root, name string) (int64, error) {
	var sum int64
	for _, direction := range []string{"rx_bytes", "tx_bytes"} {
		raw, err := os.ReadFile(filepath.Join(root, "sys/class/net", name, "statistics", direction))
		if err != nil {
			return 0, fmt.Errorf("read the counters of %s: %w", name, err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("read the counters of %s: %q is no number of bytes", name, raw)
		}
		sum += n
	}
	return sum, nil
}
