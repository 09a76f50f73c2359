package pid1

import (
	"bytes"
	"regexp"
)

// header is a line that begins a table of TOML.
var header = regexp.MustCompile(`^\s*\[\[?\s*"?([A-Za-z0-9_-]+)`)

// withoutTable makes comments of a table's lines: they stay to be read, and hold no more.
// Keys of it that stand before any table, as in network.hostname = "x", are its lines too.
func withoutTable(text []byte, table string) []byte {
	dotted := regexp.MustCompile(`^\s*"?` + regexp.QuoteMeta(table) + `"?\s*[.=]`)
	var out bytes.Buffer
	inside, first := false, true
	for line := range bytes.Lines(text) {
		if m := header.FindSubmatch(line); m != nil {
			inside, first = string(m[1]) == table, false
		}
		if blank := len(bytes.TrimSpace(line)) == 0; (inside || first && dotted.Match(line)) && !blank && !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			out.WriteString("# ")
		}
		out.Write(line)
	}
	return out.Bytes()
}
