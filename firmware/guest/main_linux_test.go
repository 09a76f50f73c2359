package guest_test

import (
	"os"
	"testing"

	"cheeseboard/firmware/guest"
)

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Scene{
		"light":    playLight,
		"button":   playButton,
		"hang":     playHang,
		"watchdog": playWatchdog,
		"bare":     playBare,
		"console":  playConsole,
		"stick":    playStick,
		"clock":    playClock,
		"onboard":  playOnBoard,
		"far":      playFar,
	})
}

// wanted leaves out what brings a kernel at the first time.
func wanted(t *testing.T) {
	t.Helper()
	if os.Getenv("CHEESEBOARD_TEST_GUEST") == "" {
		t.Skip("only with CHEESEBOARD_TEST_GUEST=1: a guest's kernel is brought from Debian, 120 MB at the first time")
	}
}
