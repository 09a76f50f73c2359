package app_test

import (
	"strings"
	"testing"
)

// TestPages holds that the pages for people tell what is here.
func TestPages(t *testing.T) {
	public, corp := publish(t, "brie 1.0", "brie 2.0", "edam 1.0", "feta 1.0"), publish(t, "corp-tools 1.0")
	if err := public.Index.SetStatus("brie", "archived", "no more milk"); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, public, corp, "brie", "corp-tools")
	o.config.Policy.Block = []string{"feta # it crumbles"}
	o.restart("corp-*")
	o.sync()
	o.want("/", 200, "All is well.", "2 files of 2 projects", "http://box.example/simple/", `<a href="corp/simple/">corp</a>`, "!<script")
	o.want("/project/brie", 200, "archived</strong>: no more milk", "1 file is here", "of 2 files", "✓ 1", "brie-2.0-py3-none-any.whl", "!brie-1.0-py3-none-any.whl")
	o.want("/project/corp-tools", 200, "of the index corp", "corp_tools-1.0-py3-none-any.whl")
	o.want("/project/edam", 404, "Nothing is known of edam here yet.")
	o.want("/project/feta", 404, "it crumbles")
	if asked := public.Requests().Paths(); strings.Contains(strings.Join(asked, " "), "edam") {
		t.Errorf("to look at a page, the upstream was asked: %v", asked)
	}
	if err := public.Kill(); err != nil {
		t.Fatal(err)
	}
	o.ask("/simple/unheard-of/")
	o.want("/", 200, "!All is well.")
}
