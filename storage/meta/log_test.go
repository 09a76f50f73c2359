package meta

import (
	"fmt"
	"strings"
	"testing"
)

func TestLog(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	read := func(name string) string {
		t.Helper()
		var out []string
		if err := d.Log(name, func(b []byte) bool { out = append(out, string(b)); return true }); err != nil {
			t.Fatal(err)
		}
		return strings.Join(out, " ")
	}
	if got := read("line"); got != "" {
		t.Errorf("an empty log holds %q", got)
	}
	for i := range 12 {
		if err := d.Append("line", fmt.Appendf(nil, "%d", i), 5); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Append("lin", []byte("other"), 5); err != nil {
		t.Fatal(err)
	}
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	if err := d.Append("line", []byte("12"), 5); err != nil {
		t.Fatal(err)
	}
	if got := read("line"); got != "8 9 10 11 12" {
		t.Errorf("the log holds %q", got)
	}
	if got := read("lin"); got != "other" {
		t.Errorf("another log holds %q", got)
	}
	if err := d.Append("line", make([]byte, maxValue+1), 5); err == nil {
		t.Error("a record that is too large is taken")
	}
}
