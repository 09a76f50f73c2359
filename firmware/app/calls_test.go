package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestCalls follows the count of calls through closing, opening and the end.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		first, err := c.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		closed, begun := false, false
		go func() { c.close(); closed = true }()
		synctest.Wait()
		if closed {
			t.Error("it is closed under a call")
		}
		go func() {
			second, err := c.begin(t.Context())
			begun = true
			if err != nil {
				t.Error(err)
				return
			}
			second()
		}()
		if end, wait := c.try(); end != nil || wait == nil {
			t.Error("who does not wait is let in, or told never to come")
		}
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.begin(impatient); !errors.Is(err, context.Canceled) {
			t.Errorf("who waits no longer gets %v", err)
		}
		first()
		first() // the second time it does nothing
		synctest.Wait()
		if !closed || begun {
			t.Errorf("after the call: closed %t, another has begun %t", closed, begun)
		}
		c.open()
		synctest.Wait()
		if !begun {
			t.Error("who waited is not let in")
		}
		last, err := c.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		go func() { c.end(); ended = true }()
		synctest.Wait()
		if _, err := c.begin(t.Context()); !errors.Is(err, errClosed) || ended {
			t.Errorf("at the end one who comes gets %v; ended under a call: %t", err, ended)
		}
		last()
		synctest.Wait()
		if end, wait := c.try(); !ended || end != nil || wait != nil {
			t.Error("it does not end, or may begin again")
		}
	})
}
