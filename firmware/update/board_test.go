package update

import (
	"strings"
	"testing"
)

func TestIsBoard(t *testing.T) {
	for text, want := range map[string]bool{
		"raspberrypi-arm64": true, "0": true, "z9-": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, "A": false, "a_b": false, "a b": false, "a\n": false, "ä": false, "a/": false, strings.Repeat("a", 33): false,
	} {
		if isBoard(text) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}
