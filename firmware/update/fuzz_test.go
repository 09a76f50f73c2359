package update

import (
	"bytes"
	"io"
	"testing"
)

// FuzzBundle opens what strangers bring. Only what was signed is ever accepted, and
// nothing makes it take more memory or bytes than the bounds allow.
func FuzzBundle(f *testing.F) {
	image := slotImage(16<<10, 1)
	good := bundle(f, newer("1.3.0"), image, testKey(1))
	f.Add(good)
	f.Add(good[:100])
	f.Add(bundle(f, newer("1.3.0"), image, testKey(2)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Open(bytes.NewReader(raw), trusted(testKey(1)))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(raw, good[:b.Length-b.Packed]) {
			t.Fatal("a manifest was accepted that nobody signed")
		}
		r, err := b.image()
		if err != nil {
			return
		}
		out, err := io.ReadAll(r)
		if int64(len(out)) > b.Size {
			t.Fatalf("%d bytes came out of a bundle that promised %d", len(out), b.Size)
		}
		if err == nil && !bytes.Equal(out, image) && int64(len(out)) != b.Size {
			t.Fatal("a short image came to its end without an error")
		}
	})
}

// FuzzImage unpacks anything behind a good signature.
func FuzzImage(f *testing.F) {
	image := slotImage(2*headSize, 1)
	good := bundle(f, newer("1.3.0"), image, testKey(1))
	b, err := Open(bytes.NewReader(good), trusted(testKey(1)))
	if err != nil {
		f.Fatal(err)
	}
	head := good[:b.Length-b.Packed]
	f.Add(good[len(head):])
	f.Fuzz(func(t *testing.T, packed []byte) {
		c := &card{sectors: map[int][]byte{SlotB: make([]byte, 4*headSize)}}
		b, err := Open(io.MultiReader(bytes.NewReader(head), bytes.NewReader(packed)), trusted(testKey(1)))
		if err != nil {
			t.Fatal(err)
		}
		err = write(t.Context(), &slotArea{c, SlotB}, b, 4<<10, quiet)
		if whole := bytes.Equal(c.sectors[SlotB][:len(image)], image); (err == nil) != whole {
			t.Fatalf("%v, and the slot is whole: %v", err, whole)
		}
		if err != nil && bootable(c.sectors[SlotB]) {
			t.Fatal("what was refused can be started")
		}
	})
}

// FuzzAutoboot reads what is said to be a first partition: only one sector may change.
func FuzzAutoboot(f *testing.F) {
	good := makeFAT16(Autoboot{SlotA, SlotB})
	f.Add(good[:sector], good[(1+2*32)*sector:][:4*dirEntry], []byte("[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"))
	f.Fuzz(func(t *testing.T, boot, root, text []byte) {
		c := newCard(sector)
		p := c.sectors[1]
		copy(p[:sector], boot)
		copy(p[(1+2*32)*sector:], root[:min(len(root), 512*dirEntry)])
		copy(p[(1+2*32+32+3)*sector:], text[:min(len(text), sector)])
		before := bytes.Clone(p)
		err := setDefault(&slotArea{c, 1}, SlotB)
		var changed int
		for i := 0; i < len(p); i += sector {
			if !bytes.Equal(before[i:i+sector], p[i:i+sector]) {
				changed++
			}
		}
		if changed > 1 || err != nil && changed > 0 {
			t.Fatalf("%v; %d sectors have changed", err, changed)
		}
		if err == nil && c.autoboot(t).Default != SlotB {
			t.Fatal("it was not made the default")
		}
	})
}

// FuzzVersion holds that what is read is written alike, and ordered.
func FuzzVersion(f *testing.F) {
	for _, s := range []string{"1.2.3", "0.1", "1.2.3.4", "2147483647", "01.2", "1..2", "+1", "1.2.3.4.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err != nil {
			return
		}
		if w, err := ParseVersion(v.String()); err != nil || w.Compare(v) != 0 {
			t.Errorf("%q became %s, then %s, %v", s, v, w, err)
		}
	})
}

// TestDamagedImages changes, cuts and lengthens the image behind a good signature, at
// random: what is not the image that was signed is never startable.
func TestDamagedImages(t *testing.T) {
	t.Parallel()
	image := slotImage(2*headSize, 1)
	good := bundle(t, newer("1.3.0"), image, testKey(1))
	b, err := Open(bytes.NewReader(good), trusted(testKey(1)))
	if err != nil {
		t.Fatal(err)
	}
	head, body, r := good[:b.Length-b.Packed], good[b.Length-b.Packed:], randomOf(5, 6)
	for i := range 500 {
		p := bytes.Clone(body)
		for range 1 + r.IntN(3) {
			switch r.IntN(3) {
			case 0:
				p[r.IntN(len(p))] ^= byte(1 << r.IntN(8))
			case 1:
				p = p[:1+r.IntN(len(p))]
			case 2:
				p = append(p, byte(r.IntN(256)))
			}
		}
		c := &card{sectors: map[int][]byte{SlotB: make([]byte, 4*headSize)}}
		b, err := Open(io.MultiReader(bytes.NewReader(head), bytes.NewReader(p)), trusted(testKey(1)))
		if err != nil {
			t.Fatal(err)
		}
		err = write(t.Context(), &slotArea{c, SlotB}, b, 4<<10, quiet)
		whole := bytes.Equal(c.sectors[SlotB][:len(image)], image)
		if (err == nil) != whole || err != nil && bootable(c.sectors[SlotB]) {
			t.Fatalf("change %d: %v, and the slot is whole: %v", i, err, whole)
		}
	}
}
