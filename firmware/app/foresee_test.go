package app_test

import (
	"testing"

	"cheeseboard/storage/pypi"
)

// TestForesee holds that what is rendered ahead is what the next client gets, and that
// nobody is asked for it.
func TestForesee(t *testing.T) {
	server, names := many(t, 3)
	box := openBox(t, server, t.TempDir(), names[:2])
	defer closeBox(t, box)
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	name, unknown := pypi.Name(names[0]), pypi.Name(names[2])
	same := func(what string) string {
		t.Helper()
		page, err := box.Engine.Page(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		asked, changes := len(server.Requests()), box.Engine.Changes()
		next, ok := box.Engine.Foresee(name)
		if !ok || next.Tag != page.Tag {
			t.Errorf("%s: %q is foreseen (%t), and %q is given", what, next.Tag, ok, page.Tag)
		}
		if n := len(server.Requests()) - asked; n != 0 {
			t.Errorf("%s: the upstream was asked %d times", what, n)
		}
		if changes == 0 || box.Engine.Changes() != changes {
			t.Errorf("%s: changes go from %d to %d", what, changes, box.Engine.Changes())
		}
		if again, err := box.Engine.Page(t.Context(), name); err != nil || again.Tag != next.Tag {
			t.Errorf("%s: then %q is given, %v", what, again.Tag, err)
		}
		return page.Tag
	}
	up := same("with the line up")
	if _, ok := box.Engine.Foresee(unknown); ok {
		t.Error("a page is foreseen that is not here")
	}
	before := box.Engine.Changes()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := syncBox(t, box); err == nil {
		t.Fatal("a sync without an upstream")
	}
	if down := same("with the line down"); down == up || box.Engine.Changes() == before {
		t.Errorf("the line is down, and the page is %s as before", down)
	}
}
