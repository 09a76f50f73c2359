package config

import (
	"path"
	"strings"
)

// LED is the [led] table: the light that says how the box is.
type LED struct {
	Device string   // "auto", a name below /sys/class/leds, an absolute folder; "" for none
	Lines  []string // GPIO lines, at most 3; where there are any, Device is left alone
	Invert bool
}

// Button is the [button] table.
type Button struct {
	Line     string   // "auto", or a GPIO line; "" for none
	PowerOff []string // a program and its arguments; empty: none
}

// Auto is the value of led.device and button.line that goes by the board.
const Auto = "auto"

func ledKeys(c *LED) []key {
	return []key{
		{"led.device",
			`Light of the board that says how the box is (cheeseboard led): a name in /sys/class/leds, or a folder. "auto": ACT or led0, where there is one. Empty: none.`,
			`"led0"`, text(&c.Device, checkLight)},
		{"led.lines",
			"GPIO lines with lights of your own, instead: one; two, of which the second is lit beside the first where somebody should look; or red, green and blue. Each a name, or chip:number.",
			`["GPIO17", "gpiochip0:27"]`, list{&c.Lines, checkLine, false, ", ", 3}},
		{"led.invert",
			"Whether the light is lit where others are dark: a low line lights it.",
			"true", boolean(&c.Invert)},
	}
}

func buttonKeys(c *Button) []key {
	return []key{
		{"button.line",
			`GPIO line with a button to ground: a name, or chip:number. "auto": GPIO3 (pin 5 of the header, beside ground on pin 9) of a Raspberry Pi that does not use it for I2C. Empty: none.`,
			`"GPIO23"`, text(&c.Line, checkLineOrNone)},
		{"button.power-off",
			"Program, with its arguments, that switches the machine off after the button was held for 5 s and the box has ended. Empty: the box ends, and the machine goes on.",
			`["systemctl", "poweroff"]`, list{&c.PowerOff, anyText, false, "\n", 16}},
	}
}

var (
	lightForm = lazily(`^[A-Za-z0-9_:. -]{1,64}$`)
	lineForm  = lazily(`^([A-Za-z0-9_. /+-]{1,32}|[A-Za-z0-9_-]{1,32}:[0-9]{1,4})$`)
)

func checkLight(s string) string {
	if s == "" || path.IsAbs(s) && path.Clean(s) == s || lightForm().MatchString(s) && strings.Trim(s, ".") != "" {
		return ""
	}
	return `the name of a light in /sys/class/leds, such as "led0"`
}

func checkLine(s string) string {
	if !lineForm().MatchString(s) {
		return `the name of a GPIO line, or chip:number, such as "GPIO17" or "gpiochip0:17"`
	}
	return ""
}

func checkLineOrNone(s string) string {
	if s == "" {
		return ""
	}
	return checkLine(s)
}
