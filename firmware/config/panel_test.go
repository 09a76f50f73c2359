package config

import "testing"

func TestPanelChecks(t *testing.T) {
	for _, c := range []struct {
		name          string
		check         func(string) string
		good, refused []string
	}{
		{"light", checkLight, []string{"", "auto", "ACT", "led0", "blue:status", "input3::capslock", "/sys/devices/platform/leds/leds/ACT"},
			[]string{"..", "../leds/ACT", "a/b", "/sys/../etc", "/sys/", "a\x00b"}},
		{"line", checkLine, []string{"GPIO3", "gpiochip0:17", "4:0", "PIN_12", "GPIO_GEN1"}, []string{"", ":3", "0:", "0:-1", "0:1:2", "0:99999", "x\ny"}},
		{"line or none", checkLineOrNone, []string{"", "auto", "GPIO3"}, []string{"0:"}},
	} {
		for _, s := range c.good {
			if want := c.check(s); want != "" {
				t.Errorf("%s: %q is refused: %s", c.name, s, want)
			}
		}
		for _, s := range c.refused {
			if c.check(s) == "" {
				t.Errorf("%s: %q is accepted", c.name, s)
			}
		}
	}
}
