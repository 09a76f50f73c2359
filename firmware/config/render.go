package config

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
)

// Render writes the configuration as a file with a comment for every key: what
// it is, its default and an example. Parse reads it back to the same Config.
// The file holds the password of the proxy, if there is one; see Redacted.
func Render(c Config) []byte {
	var b bytes.Buffer
	writeComment(&b, "Configuration of cheeseboard. Every key may be left out; its default then holds. "+
		"The environment overrides the file: sync.interval is "+envPrefix+"SYNC_INTERVAL. "+
		"Flags override the environment: --set sync.interval=6h.")
	defaults := Default()
	fallback := keysOf(&defaults)
	current := ""
	for i, k := range keysOf(&c) {
		name := k.path
		if owner, last, ok := strings.Cut(k.path, "."); ok {
			if owner != current {
				current = owner
				writeTable(&b, owner)
			}
			name = last
		}
		b.WriteByte('\n')
		writeComment(&b, k.comment)
		usual, example := "Default: "+fallback[i].toml()+".", "Example: "+k.example
		if len("# ")+len(usual)+len(" ")+len(example) <= commentWidth {
			writeComment(&b, usual+" "+example)
		} else { // never break an example that somebody may copy
			b.WriteString("# " + strings.ReplaceAll(usual, "\n", "\n# ") + "\n# " + example + "\n")
		}
		fmt.Fprintf(&b, "%s = %s\n", name, k.toml())
	}
	return b.Bytes()
}

func writeTable(b *bytes.Buffer, name string) {
	for _, t := range tables() {
		if t.name == name {
			b.WriteByte('\n')
			writeComment(b, t.comment)
			fmt.Fprintf(b, "[%s]\n", name)
		}
	}
}

// commentWidth is the length of the longest line of a comment.
const commentWidth = 78

// writeComment breaks the text into lines.
func writeComment(b *bytes.Buffer, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > commentWidth && line != "#" {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// Redacted returns c without the password of the proxy, for logs and reports.
func (c Config) Redacted() Config {
	if u, err := url.Parse(c.Upstream.Proxy); err == nil {
		if _, has := u.User.Password(); has {
			u.User = url.UserPassword(u.User.Username(), "xxxxx")
			c.Upstream.Proxy = u.String()
		}
	}
	return c
}
