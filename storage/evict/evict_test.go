package evict

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"cheeseboard/storage/pypi"
)

// sound checks that the table is what it says.
func sound(t *testing.T, table *Table) {
	t.Helper()
	var bytes int64
	for i, n := range table.heap {
		bytes += n.size
		if table.at[n.key] != int32(i) {
			t.Fatalf("file %d stands at %d, not %d", n.key, i, table.at[n.key])
		}
		if parent := (i - 1) / 2; i > 0 && table.heap[parent].rank > n.rank {
			t.Fatalf("the heap is no heap at %d", i)
		}
	}
	if bytes != table.bytes || len(table.at) != len(table.heap) {
		t.Fatalf("%d bytes in %d files, counted %d in %d", bytes, len(table.heap), table.bytes, len(table.at))
	}
}

// TestTable does anything to a table and compares with a map.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var table Table
	model := map[Key]int64{}
	for range 20_000 {
		key, size := Key(r.IntN(300)), r.Int64N(1<<20)+1
		switch r.IntN(6) {
		case 0, 1:
			table.Add(key, size, 0)
			model[key] = size
		case 2, 3:
			table.Use(key, 0)
		case 4:
			table.Remove(key)
			delete(model, key)
		case 5:
			spared := Key(r.IntN(300))
			need := r.Int64N(1 << 21)
			got := table.Take(need, Grace, func(k Key) bool { return k == spared })
			var sum int64
			for i, v := range got {
				if v.Size != model[v.Key] || v.Key == spared {
					t.Fatalf("victim %+v, it has %d bytes", v, model[v.Key])
				}
				if i > 0 && got[i-1].node.rank > v.node.rank {
					t.Fatal("the victims are not in order of their worth")
				}
				if sum >= need {
					t.Fatalf("%d bytes are free for %d, and another goes", sum, need)
				}
				sum += v.Size
				delete(model, v.Key)
			}
			if sum < need && len(model) > 1 {
				t.Fatalf("%d of %d bytes became free, %d files stay", sum, need, len(model))
			}
			if len(got) > 0 && r.IntN(2) == 0 {
				table.Put(got[0])
				model[got[0].Key] = got[0].Size
			}
		}
		if table.Len() != len(model) {
			t.Fatalf("%d files, want %d", table.Len(), len(model))
		}
	}
	sound(t, &table)
}

// order empties a table and gives the files as they go.
func order(table *Table, now uint32) (keys []Key) {
	for table.Len() > 0 {
		for _, v := range table.Take(1, now, nil) {
			keys = append(keys, v.Key)
		}
	}
	return keys
}

// TestWorth holds what the policy promises, case by case.
func TestWorth(t *testing.T) {
	const small, large = 10 << 10, 100 << 20
	var table Table
	table.Add(1, small, 0)
	table.Add(2, large, 0)
	table.Add(3, large, 0)
	table.Use(3, 0)
	if got := order(&table, Grace); !slices.Equal(got, []Key{2, 3, 1}) {
		t.Errorf("they go in the order %v; large ones go first, used ones later", got)
	}

	// What was used often long ago is overtaken by what comes.
	table = Table{}
	table.Add(1, large, 0)
	for range 9 {
		table.Use(1, 0)
	}
	for key := Key(2); table.Has(1); key++ {
		if key > 50 {
			t.Fatal("a file that nobody uses any more never goes")
		}
		table.Add(key, large, 0)
		table.Take(large, Grace, nil)
	}

	// What was used just now goes last, however little it is worth.
	table = Table{}
	table.Add(1, small, 0)
	table.Use(1, 0)
	table.Add(2, large, 1000)
	if got := order(&table, 1000); !slices.Equal(got, []Key{1, 2}) {
		t.Errorf("they go in the order %v, want what is in use last", got)
	}
}

// TestPast holds that a restart changes the order little, and that bytes which are
// no past are refused.
func TestPast(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	var table Table
	sizes := map[Key]int64{}
	for key := Key(1); key <= 500; key++ {
		sizes[key] = wheelSize(r)
		table.Add(key, sizes[key], 0)
		for range r.IntN(10) {
			table.Use(key, 0)
		}
		table.Take(1, Grace, func(Key) bool { return key%10 != 0 })
	}
	raw := table.AppendPast(nil)
	if want := table.Len()*pastRecord + len(pastHead) + 4; len(raw) != want {
		t.Errorf("%d bytes, want %d", len(raw), want)
	}
	past, err := ParsePast(raw)
	if err != nil {
		t.Fatal(err)
	}
	var again Table
	for key, size := range sizes {
		if table.Has(key) {
			again.AddAgain(key, size, past)
		}
	}
	sound(t, &again)
	again.AddAgain(1000, 1<<30, past) // that the past does not know
	if again.Len() != table.Len()+1 {
		t.Fatalf("%d files, want %d", again.Len(), table.Len()+1)
	}
	again.Remove(1000)
	if a, b := order(&table, Grace), order(&again, Grace); !slices.Equal(a, b) {
		t.Error("after a restart they go in another order")
	}
	for i := range raw {
		bad := slices.Clone(raw)
		bad[i] ^= 1
		if _, err := ParsePast(bad); err == nil {
			t.Fatalf("with byte %d changed it is taken for a past", i)
		}
	}
	for _, bad := range [][]byte{nil, raw[:10], raw[:len(raw)-1]} {
		if _, err := ParsePast(bad); err == nil {
			t.Errorf("%d bytes are taken for a past", len(bad))
		}
	}
}

func TestKey(t *testing.T) {
	digest := pypi.Digest{1, 2, 3, 4, 5, 6, 7, 8, 9}
	if k := KeyOf(digest); k != 0x0102030405060708 || k.Prefix() != [8]byte(digest[:8]) {
		t.Errorf("key %x", k)
	}
	if size := unsafe.Sizeof(node{}); size > 32 {
		t.Errorf("a file takes %d bytes in the heap", size)
	}
}
