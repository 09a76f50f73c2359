package syncer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cheeseboard/syncer/upstream"
)

const someIndex = "https://pypi.org/simple/"

// TestQuietNote holds that the usual note is short and loses nothing.
func TestQuietNote(t *testing.T) {
	asked := time.Unix(1795300000, 0).UTC()
	for _, c := range []struct {
		n    note
		most int
	}{
		{note{Upstream: someIndex, Asked: asked, Validators: upstream.Validators{ETag: `"AAECAwQFBgcICQoLDA0ODw"`}}, 32},
		{note{Upstream: someIndex, Validators: upstream.Validators{ETag: `W/"5f-1a"`, LastModified: "Sun, 22 Nov 2026 10:00:00 GMT"}}, 60},
		{note{Upstream: someIndex, Asked: asked, Validators: upstream.Validators{ETag: `"AAECAwQFBgcICQoLDA0ODx"`}}, 60}, // no base64 of 16 bytes
		{note{Upstream: someIndex}, 10},
		{note{Upstream: someIndex, Asked: asked, HeldBack: 3}, 200},
		{note{Upstream: someIndex, Asked: asked, Expect: 7}, 200},
	} {
		raw, err := c.n.marshal()
		if err != nil || len(raw) > c.most {
			t.Errorf("%+v takes %d bytes (%v)", c.n, len(raw), err)
		}
		var again note
		if err := again.unmarshal(raw, someIndex); err != nil || !cmp.Equal(again, c.n) {
			t.Errorf("%s (%v)", cmp.Diff(c.n, again), err)
		}
		// Under another upstream it is not taken for that one's, and stays as it is.
		var other note
		if err := other.unmarshal(raw, "https://else.example/"); err != nil || other.Upstream == "https://else.example/" {
			t.Errorf("the note of another index is taken for %q (%v)", other.Upstream, err)
		}
		if kept, err := other.marshal(); err != nil || string(kept) != string(raw) {
			t.Errorf("%q became %q (%v)", raw, kept, err)
		}
	}
}

// FuzzQuietNote: whatever is on the disk, it is read or refused.
func FuzzQuietNote(f *testing.F) {
	n := note{Upstream: someIndex, Validators: upstream.Validators{ETag: `"AAECAwQFBgcICQoLDA0ODw"`}}
	raw, err := n.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{quietNote, 1, 2, 3, 4, 0, 0, 1, 'x', 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n, again note
		if len(raw) == 0 || raw[0] != quietNote || n.unmarshal(raw, someIndex) != nil {
			return
		}
		b, err := n.marshal()
		if err == nil {
			err = again.unmarshal(b, someIndex)
		}
		if err != nil || !cmp.Equal(again, n) {
			t.Errorf("%s (%v)", cmp.Diff(n, again), err)
		}
	})
}
