package config

import (
	"math"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	tests := []struct {
		text string
		want Size
		form string
	}{
		{"0", 0, "0B"},
		{"1", 1, "1B"},
		{"1000", 1000, "1kB"},
		{"1024", 1024, "1KiB"},
		{"1023", 1023, "1023B"},
		{"2GB", 2e9, "2GB"},
		{"2 gb", 2e9, "2GB"},
		{"1.5GB", 15e8, "1500MB"},
		{"512MiB", 512 << 20, "512MiB"},
		{"1024000", 1024000, "1024kB"},
		{"0.0015kb", 1, "1B"},
		{"1TiB", 1 << 40, "1TiB"},
		{"3TB", 3e12, "3TB"},
		{"9223372036854775807", math.MaxInt64, "9223372036854775807B"},
	}
	for _, tt := range tests {
		var got Size
		if err := got.UnmarshalText([]byte(tt.text)); err != nil || got != tt.want {
			t.Errorf("%q: %d, %v; want %d", tt.text, got, err, tt.want)
			continue
		}
		form, err := got.MarshalText()
		if err != nil || string(form) != tt.form {
			t.Errorf("%q is printed as %s, %v; want %s", tt.text, form, err, tt.form)
		}
		if again, err := ParseSize(string(form)); err != nil || again != got {
			t.Errorf("%s: %d, %v; want %d", form, again, err, got)
		}
	}
	for _, text := range []string{"", "B", "GB", "-1", "+1", "1e3", "1/2", "2G", "2K", "2GBit", "1.", ".5GB", "1.5.5", "1 000",
		"1,5GB", "0x10", "NaN", "inf", " 1", "1 GB ", "9223372036854775808", "9223373TB", "1\u00a0GB", "00000000000000000000000000000000001"} {
		got := Size(7)
		if err := got.UnmarshalText([]byte(text)); err == nil || got != 7 {
			t.Errorf("%q: %d, %v; want an error and no change", text, got, err)
		}
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		form string
	}{
		{"6h", 6 * time.Hour, "6h"},
		{"90s", 90 * time.Second, "1m30s"},
		{"10m", 10 * time.Minute, "10m"},
		{"1h0m10s", time.Hour + 10*time.Second, "1h0m10s"},
		{"1h10m", 70 * time.Minute, "1h10m"},
		{"20h", 20 * time.Hour, "20h"},
		{"1500ms", 1500 * time.Millisecond, "1.5s"},
		{"0", 0, "0s"},
		{"-10m", -10 * time.Minute, "-10m"},
	}
	for _, tt := range tests {
		var got Duration
		if err := got.UnmarshalText([]byte(tt.text)); err != nil || time.Duration(got) != tt.want {
			t.Errorf("%q: %v, %v; want %v", tt.text, got, err, tt.want)
			continue
		}
		form, err := got.MarshalText()
		if err != nil || string(form) != tt.form {
			t.Errorf("%q is printed as %s, %v; want %s", tt.text, form, err, tt.form)
		}
		if again, err := ParseDuration(string(form)); err != nil || again != got {
			t.Errorf("%s: %v, %v; want %v", form, again, err, got)
		}
	}
	for _, text := range []string{"", "6", "6 hours", "6 h", "h", "1d", "9999999h", "6h,", "１h"} {
		got := Duration(7)
		if err := got.UnmarshalText([]byte(text)); err == nil || got != 7 {
			t.Errorf("%q: %v, %v; want an error and no change", text, got, err)
		}
	}
}
