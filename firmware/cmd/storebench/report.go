package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// report gathers what is printed: a table for people, then one `key: value` line
// for each figure.
type report struct {
	text, keys strings.Builder
}

// say tells at once what is going on.
func (r *report) say(format string, a ...any) {
	line := fmt.Sprintf(format, a...)
	fmt.Fprintln(os.Stderr, "storebench:", line)
	fmt.Fprintln(&r.text, line)
}

func (r *report) section(format string, a ...any) {
	r.text.WriteByte('\n')
	r.say(format, a...)
}

func (r *report) row(what, format string, a ...any) {
	r.say("  %-26s %s", what, fmt.Sprintf(format, a...))
}

func (r *report) key(key string, value float64) {
	if value >= 0 {
		fmt.Fprintf(&r.keys, "%s: %.4g\n", key, value)
	}
}

func (r *report) print(w io.Writer) error {
	_, err := io.WriteString(w, r.text.String()+"\n"+r.keys.String())
	return err
}

// mega gives megabytes of 10^6; what is not known stays negative.
func mega(bytes int64) float64 { return float64(bytes) / 1e6 }
