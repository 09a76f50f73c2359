package pypi

import "testing"

func TestNamespace(t *testing.T) {
	for _, c := range []struct {
		of         Namespace
		name, kept Name
	}{{"", "numpy", "numpy"}, {"wheels", "numpy", "numpy@wheels"}, {"wheels", "", "@wheels"}, {"", "", ""}} {
		kept := c.of.In(c.name)
		name, ours := c.of.Out(kept)
		if kept != c.kept || name != c.name || !ours {
			t.Errorf("%q in %q is %q, and back %q, %t", c.name, c.of, kept, name, ours)
		}
		if _, ours := (c.of + "x").Out(kept); ours {
			t.Errorf("%q is of another index too", kept)
		}
		if _, err := ParseName(string(kept)); err == nil && c.of != "" {
			t.Errorf("%q can be the name of a project", kept)
		}
	}
}
