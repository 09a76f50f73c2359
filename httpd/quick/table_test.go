package quick

import (
	"fmt"
	"testing"
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
	for key, a := range table.answers {
		table.void([]byte(key), a)
	}
	if len(table.bodies) != 0 {
		t.Errorf("%d bodies of answers that do not hold are kept", len(table.bodies))
	}
	for key := range table.answers {
		table.remove(key)
	}
	if table.size != 0 {
		t.Errorf("nothing takes %d bytes", table.size)
	}
}
