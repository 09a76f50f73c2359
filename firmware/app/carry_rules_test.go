package app_test

import (
	"strings"
	"testing"

	"cheeseboard/firmware/config"
	"cheeseboard/syncer/upstreamtest"
)

// TestImportForAnIndex: what is carried here belongs to the index that the rules say,
// with a line and without. No other index hears of its name.
func TestImportForAnIndex(t *testing.T) {
	brie, content := built(t, wheelOf("brie", "1.0", 1))
	for _, online := range []bool{true, false} {
		server, _ := many(t, 1)
		corp, _ := many(t, 1)
		for public, w := range map[*upstreamtest.Server]upstreamtest.Wheel{server: wheelOf("brie", "9.0", 2), corp: wheelOf("brie", "1.0", 1)} {
			if _, err := public.Index.AddWheel(w); err != nil {
				t.Fatal(err)
			}
		}
		c := boxConfig(server, t.TempDir(), nil)
		c.Index = []config.Index{{Name: "corp", URL: corp.IndexURL(), Projects: []string{"brie"}}}
		if !online {
			c.Upstream.URL, c.Index[0].URL = "http://127.0.0.1:1/simple/", "http://127.0.0.1:1/corp/" // nobody is there
		}
		s := importBox(t, c, carried(t, map[string][]byte{brie: content}))
		if i := s.bringIn(); i.New != 1 || i.Left != 0 {
			t.Errorf("online %t: %s %+v", online, i, i.Refused)
		}
		if asked := server.Requests().On(upstreamtest.OnPage("brie")); len(asked) != 0 {
			t.Errorf("online %t: the default index was asked for %v", online, asked.Paths())
		}
		for _, front := range []string{"/simple/brie/", "/corp/simple/brie/"} { // one leads to the other
			if page := s.get(front); !strings.Contains(page, brie) || strings.Contains(page, "brie-9.0") {
				t.Errorf("online %t: %s: %s", online, front, page)
			}
		}
		if got := s.get("/corp" + filePath("brie", brie, content)); got != string(content) {
			t.Errorf("online %t: %d bytes of %d", online, len(got), len(content))
		}
		s.end()
	}
}
