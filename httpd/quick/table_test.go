package quick

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What is kept stays within its bounds, a body that several answers share counts
// once, and what was asked for lately stays.
func TestTable(t *testing.T) {
	table := newTable()
	body := make([]byte, 1<<20)
	for i := range 100 {
		table.put(fmt.Sprint("shared ", i), &answer{body: body, still: func() bool { return true }})
	}
	if len(table.answers) != 100 || table.size > maxKept {
		t.Errorf("%d answers take %d bytes", len(table.answers), table.size)
	}
	table.put("hot", &answer{body: make([]byte, 10_000), still: func() bool { return true }})
	for i := range 5000 {
		table.put(fmt.Sprint("own ", i), &answer{body: make([]byte, 10_000), still: func() bool { return true }})
		if table.size > maxKept {
			t.Fatalf("%d bytes are kept", table.size)
		}
		if table.get([]byte("hot")) == nil {
			t.Fatal("what is asked for all the time is not kept")
		}
	}
	if len(table.answers) < maxKept/(10_000+entryCost)*2/3 {
		t.Errorf("only %d answers are kept", len(table.answers))
	}
	table.put("huge", &answer{body: make([]byte, maxBody+1)})
	if table.get([]byte("huge")) != nil {
		t.Error("a body was kept that leaves no room for others")
	}
	table.drop([]byte("hot"), new(answer)) // that is another one
	if table.get([]byte("hot")) == nil {
		t.Error("an answer is gone since one before it did not hold")
	}
	for key := range table.answers {
		table.drop([]byte(key), table.find([]byte(key)))
	}
	if len(table.answers) != 0 || table.queue.Len() != 0 {
		t.Errorf("%d answers that do not hold are kept, %d stand in the queue", len(table.answers), table.queue.Len())
	}
	if len(table.bodies) != 0 {
		t.Errorf("%d bodies of answers that do not hold are kept", len(table.bodies))
	}
	if table.size != 0 {
		t.Errorf("nothing takes %d bytes", table.size)
	}
}

// TestFlightIsNotWaitedForLong: a handler may wait for the line, and those who wait
// for the one who is with it have their own wait there still before them.
func TestFlightIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable()
		first, _, _ := table.fly([]byte("page"))
		if first == nil {
			t.Fatal("nobody goes")
		}
		begun := time.Now()
		waited := func() time.Duration {
			own, done, wait := table.fly([]byte("page"))
			if own != nil {
				t.Fatal("two go")
			}
			if wait > 0 {
				select {
				case <-done:
				case <-time.After(wait):
				}
			}
			return time.Since(begun)
		}
		if took := waited(); took != flightWait {
			t.Errorf("the second one waited %v, want %v", took, flightWait)
		}
		if took := waited(); took != flightWait { // the first one has been away for so long
			t.Errorf("the third one waited, to %v after the first", took)
		}
		table.land(first)
		if own, _, _ := table.fly([]byte("page")); own == nil {
			t.Error("after it nobody goes")
		}
	})
}
