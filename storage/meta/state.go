package meta

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"cheeseboard/storage/pypi"
)

// A Mark puts a project into a list under a time, so that those to whom something
// is to happen are found without reading the states of all.
type Mark struct {
	List string    // a word, without zero bytes
	At   time.Time // to the second
}

func listPrefix(list string) []byte { return append([]byte("m/"+list), 0) }

func markKey(list string, name pypi.Name) []byte { return append(listPrefix(list), name...) }

// State reads what the follower of an upstream's page noted for a project; nil
// where it noted nothing. ErrDamaged.
func (d *DB) State(name pypi.Name) ([]byte, error) {
	raw, err := d.value(stateKey(name))
	if raw == nil || err != nil {
		return nil, err
	}
	_, value, packed, err := parseState(raw)
	if err != nil || !packed {
		return value, err
	}
	if value, err = d.zip.open(value); err != nil {
		return nil, fmt.Errorf("%w: unpack a state: %w", ErrDamaged, err)
	}
	return value, nil
}

// SetState replaces the note for a project and its marks: from then on it is in
// the lists that are given, and in no other. A nil value removes the note.
func (d *DB) SetState(name pypi.Name, value []byte, marks ...Mark) error {
	grows := growing
	if value == nil && len(marks) == 0 {
		grows = shrinking
	}
	err := d.update(grows, func(b *batch) error { return d.note(b, name, State{value, marks}) })
	if err != nil && name == "" {
		return fmt.Errorf("store how far the sync is: %w", err)
	}
	if err != nil {
		return fmt.Errorf("store the state of %q: %w", name, err)
	}
	return nil
}

func (d *DB) note(b *batch, name pypi.Name, state State) error {
	if err := b.unmark(name, state.Marks); err != nil {
		return err
	}
	if state.Value == nil && len(state.Marks) == 0 {
		return b.delete(stateKey(name))
	}
	value, packed := state.Value, false
	if len(value) >= worthPacking {
		small, err := d.zip.notes.append(nil, value)
		if err != nil {
			return err
		}
		if len(small) < len(value) {
			value, packed = small, true
		}
	}
	record := appendState(nil, state.Marks, value, packed)
	if len(record) > maxValue || len(state.Value) > maxRecord {
		return fmt.Errorf("%d bytes, packed to %d: at most %d fit", len(state.Value), len(record), maxValue)
	}
	for _, m := range state.Marks {
		at := seal(binary.AppendVarint(nil, m.At.Unix()))
		old, _, err := get(b.txn, markKey(m.List, name))
		if err != nil {
			return err
		}
		if bytes.Equal(old, at) {
			continue
		}
		if err := b.set(markKey(m.List, name), at); err != nil {
			return err
		}
	}
	return b.set(stateKey(name), seal(record))
}

// worthPacking is from how many bytes on a note is packed. Most are shorter, and half
// of that a validator, which no packing makes smaller.
const worthPacking = 48

// unmark takes a project out of the lists that its state names, but for those in
// which it stays.
func (b *batch) unmark(name pypi.Name, stays []Mark) error {
	lists, err := b.lists(name)
	if err != nil {
		return err
	}
	for _, m := range stays {
		delete(lists, m.List)
	}
	for list := range lists {
		if err := b.delete(markKey(list, name)); err != nil {
			return err
		}
	}
	return nil
}

// lists tells in which lists a project is: by its state, or, where that is
// damaged, by the lists.
func (b *batch) lists(name pypi.Name) (map[string]bool, error) {
	in := make(map[string]bool)
	raw, _, err := get(b.txn, stateKey(name))
	if raw == nil || err != nil {
		return in, err
	}
	if raw, err = unseal(raw); err == nil {
		var names []string
		if names, _, _, err = parseState(raw); err == nil {
			for _, list := range names {
				in[list] = true
			}
			return in, nil
		}
	}
	return in, scan(b.txn, []byte("m/"), false, func(key, _ []byte) (bool, error) {
		list, n, _ := bytes.Cut(key[len("m/"):], []byte{0})
		if pypi.Name(n) == name {
			in[string(list)] = true
		}
		return true, nil
	})
}

// Marked calls yield with the projects of a list, in order of the name, until it
// returns false. The time of a damaged entry is zero.
func (d *DB) Marked(list string, yield func(pypi.Name, time.Time) bool) error {
	txn, done := d.view()
	defer done()
	prefix := listPrefix(list)
	return scan(txn, prefix, true, func(key, value []byte) (bool, error) {
		var at time.Time
		if raw, err := unseal(value); err == nil {
			if seconds, n := binary.Varint(raw); n == len(raw) {
				at = time.Unix(seconds, 0)
			}
		}
		return yield(pypi.Name(key[len(prefix):]), at), nil
	})
}

// A state's record is: uvarint twice the number of lists, and 1 if the note is
// packed; of each list uvarint length and bytes; then the note.

func appendState(b []byte, marks []Mark, value []byte, packed bool) []byte {
	first := uint64(len(marks)) << 1
	if packed {
		first++
	}
	b = binary.AppendUvarint(b, first)
	for _, m := range marks {
		b = binary.AppendUvarint(b, uint64(len(m.List)))
		b = append(b, m.List...)
	}
	return append(b, value...)
}

var errState = fmt.Errorf("%w: a state cannot be read", ErrDamaged)

// parseState gives nil for a note of no bytes.
func parseState(raw []byte) (lists []string, value []byte, packed bool, err error) {
	first, n := binary.Uvarint(raw)
	if n <= 0 || first>>1 > uint64(len(raw)) {
		return nil, nil, false, errState
	}
	raw = raw[n:]
	for range first >> 1 {
		length, n := binary.Uvarint(raw)
		if n <= 0 || length > uint64(len(raw)-n) {
			return nil, nil, false, errState
		}
		lists = append(lists, string(raw[n:n+int(length)]))
		raw = raw[n+int(length):]
	}
	if len(raw) == 0 {
		raw = nil
	}
	return lists, raw, first&1 == 1, nil
}
