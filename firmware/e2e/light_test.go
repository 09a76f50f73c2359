package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lightFolder makes what the kernel shows of a light, and gives what it is set to.
func lightFolder(t *testing.T) (folder string, level func() string) {
	t.Helper()
	folder = t.TempDir()
	for name, content := range map[string]string{"brightness": "0\n", "max_brightness": "1\n", "trigger": "[mmc0] none\n"} {
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644))
	}
	return folder, func() string {
		raw, err := os.ReadFile(filepath.Join(folder, "brightness"))
		must(t, err)
		return strings.TrimSpace(string(raw))
	}
}

// TestLight: the light of a box that serves changes; it is dark when the box has ended
// as it should, and lit when it could not serve. What the machine does not have is
// said in one line.
func TestLight(t *testing.T) {
	t.Parallel()
	folder, level := lightFolder(t)
	s := newSite(t, nil, "button.line=gpiochip999:1")
	b := s.serve("--set", "led.device="+folder)
	ticker, timer := time.NewTicker(5*time.Millisecond), time.NewTimer(patience)
	defer ticker.Stop()
	defer timer.Stop()
	for was, changes := level(), 0; changes < 3; {
		select {
		case <-ticker.C:
			if now := level(); now != was && now != "" {
				was = now
				changes++
			}
		case <-timer.C:
			t.Fatal("the light does not change")
		}
	}
	other, lit := lightFolder(t)
	second := command(t, s.args("serve", "--listen", "127.0.0.1:0", "--set", "led.device="+other)...)
	if o := finish(t, second); o.status != 1 || lit() != "1" {
		t.Errorf("a box that cannot open its data folder ends with %d, and its light is %s: %s", o.status, lit(), o.stderr)
	}
	b.quit()
	if level() != "0" {
		t.Errorf("when the box has ended the light is %s", level())
	}
	if n := strings.Count(b.stderr.String(), "some of the board is not there"); n != 1 {
		t.Errorf("it says %d times what is not there:\n%s", n, b.stderr.String())
	}
	if o := s.succeed("led"); !strings.Contains(o.stdout, "5 short flashes") || strings.Count(o.stdout, "\n") != 10 {
		t.Errorf("the legend: %s", o.stdout)
	}
}
