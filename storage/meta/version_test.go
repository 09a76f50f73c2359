package meta

import (
	"fmt"
	"testing"
)

// TestVersionWhileWriting asks for the version while another goroutine writes,
// as every request for the list of projects does.
func TestVersionWhileWriting(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	written := make(chan error, 1)
	go func() {
		for i := range 50 {
			if err := d.SetValue(fmt.Sprintf("key%d", i), []byte("value")); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for last := d.Version(); ; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			before := d.Version()
			if err := d.SetValue("one", []byte("more")); err != nil {
				t.Fatal(err)
			}
			if before < last || d.Version() <= before {
				t.Errorf("versions %d, %d, then %d after one more write", last, before, d.Version())
			}
			return
		default:
			if v := d.Version(); v < last {
				t.Fatalf("version %d after %d", v, last)
			} else {
				last = v
			}
		}
	}
}
