package upstream_test

import (
	"errors"
	"slices"
	"testing"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

func TestRoot(t *testing.T) {
	for _, c := range []struct {
		dialect upstreamtest.Dialect
		serials bool // of single projects
		last    bool // of the index
		form    bool // a second question can be answered by 304
	}{
		{upstreamtest.Dialect{}, true, true, true},
		{upstreamtest.Dialect{NoGzip: true}, true, true, true},
		{upstreamtest.Dialect{HTMLOnly: true}, false, true, true},
		{upstreamtest.Dialect{NoSerials: true}, false, false, true},
		{upstreamtest.Dialect{NoValidators: true}, true, true, false},
	} {
		server, feed := serve(t, c.dialect)
		var names []pypi.Name
		var stated int
		take := func(e pypi.ListEntry) error {
			names = append(names, e.Name)
			if e.Serial > 0 {
				stated++
			}
			return nil
		}
		root, err := feed.Root(t.Context(), upstream.RootQuery{}, take)
		slices.Sort(names)
		if err != nil || root.NotModified || !slices.Equal(names, server.Index.Projects()) || (stated == len(names)) != c.serials ||
			(root.Summary.LastSerial == server.Index.Serial()) != c.last || root.Summary.Projects != 14 {
			t.Errorf("%+v: %+v, %q, %v", c.dialect, root, names, err)
		}
		names = nil
		again, err := feed.Root(t.Context(), upstream.RootQuery{Validators: root.Validators}, take)
		if err != nil || again.NotModified != c.form || (len(names) == 0) != c.form || again.Validators != root.Validators {
			t.Errorf("%+v again: %+v, %d names, %v", c.dialect, again, len(names), err)
		}
		if err := server.Index.AddProject("quark"); err != nil {
			t.Fatal(err)
		}
		names = nil
		changed, err := feed.Root(t.Context(), upstream.RootQuery{Validators: root.Validators}, take)
		if err != nil || changed.NotModified || changed.Summary.Projects != 15 || !slices.Contains(names, "quark") {
			t.Errorf("%+v after a change: %+v, %v", c.dialect, changed, err)
		}
	}
}

func TestRootThatIsNone(t *testing.T) {
	server, feed := serve(t, upstreamtest.Dialect{})
	validators := upstream.Validators{ETag: `"old"`}
	for _, c := range []struct {
		lie   upstreamtest.Lie
		cause wire.Cause
	}{
		{upstreamtest.Status(404, ""), wire.Gone},
		{upstreamtest.Status(503, "9"), wire.Busy},
		{upstreamtest.LoginPage(), wire.Lie},
		{upstreamtest.WrongType("application/octet-stream"), wire.Lie},
		{upstreamtest.APIVersion("2.0"), wire.Lie},
		{upstreamtest.HTMLAsJSON(), wire.Lie},
		{upstreamtest.Half(), wire.Cut},
		{upstreamtest.CutAfter(200), wire.Cut},
		{upstreamtest.HangUp(), wire.Cut},
	} {
		told := server.Tell(upstreamtest.OnRoot(), c.lie, 0)
		root, err := feed.Root(t.Context(), upstream.RootQuery{Validators: validators}, func(pypi.ListEntry) error { return nil })
		told.Stop()
		if wire.CauseOf(err) != c.cause || root.NotModified {
			t.Errorf("%s: %+v, %v", c.lie.Name, root, err)
		}
	}
	enough := errors.New("enough")
	n := 0
	_, err := feed.Root(t.Context(), upstream.RootQuery{Validators: validators}, func(pypi.ListEntry) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if err != enough || n != 3 {
		t.Errorf("an error of yield: %v after %d", err, n)
	}
	if _, err := feed.List(t.Context(), func(pypi.ListEntry) error { return enough }); err != enough {
		t.Errorf("an error of yield: %v", err)
	}
	server.Tell(upstreamtest.OnRoot(), upstreamtest.Hostile(), 0)
	root, err := feed.Root(t.Context(), upstream.RootQuery{}, func(e pypi.ListEntry) error {
		if name, err := pypi.ParseName(string(e.Name)); err != nil || name != e.Name {
			t.Errorf("%q was handed on", e.Name)
		}
		return nil
	})
	if err != nil || root.Summary.Projects != 14 || root.Summary.Skipped == 0 {
		t.Errorf("hostile names: %+v, %v", root, err)
	}
}
