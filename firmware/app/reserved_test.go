package app_test

import (
	"fmt"
	"strings"
	"testing"

	"cheeseboard/firmware/config"
	"cheeseboard/httpd/admin"
	"cheeseboard/httpd/authority"
	"cheeseboard/httpd/feed"
	"cheeseboard/httpd/files"
	"cheeseboard/httpd/integrity"
	"cheeseboard/httpd/legacy"
	"cheeseboard/httpd/metrics"
	"cheeseboard/httpd/simple"
	"cheeseboard/httpd/upload"
	"cheeseboard/httpd/webui"
)

// TestNoIndexHidesTheBox holds that no index can be given a name at whose address
// something else of the box stands.
func TestNoIndexHidesTheBox(t *testing.T) {
	for _, path := range []string{
		simple.Path, files.Path, files.MirrorPath, feed.Path, legacy.Path, metrics.Path, integrity.Path, upload.Path, admin.Path, authority.Path,
		webui.SearchPath, webui.ProjectPath, "/healthz",
	} {
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		c, err := config.Parse("f", fmt.Appendf(nil, "[[index]]\nname = %q\nurl = \"http://a.example/\"\nprojects = [\"a\"]\n", first))
		if err == nil {
			t.Errorf("an index may be called %s: %+v", first, c.Index)
		}
	}
}
