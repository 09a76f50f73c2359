package update

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"cheeseboard/firmware/machine"
)

const testSlot = 192 << 10 // bytes of a slot in these tests

var running = Release{Version: version("1.2.0"), Board: "test-arm64", Floor: version("1.0.0")}

func newer(v string) Release { return Release{Version: version(v), Board: "test-arm64"} }

// box is an Updater on a card, as init has it.
func box(t *testing.T, c *card, notes string, runs Release, b Boot) *Updater {
	t.Helper()
	u, err := New(Options{Running: runs, Keys: trusted(testKey(1)), Boot: b, Open: c.Open, Notes: notes})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func quiet(machine.Progress) {}

func bootable(slot []byte) bool { return !bytes.Equal(slot[:headSize], make([]byte, headSize)) }

// TestRefused offers everything that must not be taken. After each the running slot
// and the first partition are as they were, and the other slot cannot be started
// unless it was not touched.
func TestRefused(t *testing.T) {
	t.Parallel()
	image := slotImage(testSlot-64<<10, 1)
	good := bundle(t, newer("1.3.0"), image, testKey(1))
	manifestEnd := 12 + int(binary.BigEndian.Uint32(good[8:]))
	change := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, test := range map[string]struct {
		bundle []byte
		kind   machine.RefusalKind
		begun  bool // only the image shows what is wrong
	}{
		"nothing at all":     {nil, machine.Truncated, false},
		"something else":     {[]byte("PK\x03\x04 this is another kind of file"), machine.BadFormat, false},
		"another key":        {bundle(t, newer("1.3.0"), image, testKey(2)), machine.BadSignature, false},
		"changed manifest":   {change(40), machine.BadSignature, false},
		"changed signature":  {change(manifestEnd + 5), machine.BadSignature, false},
		"endless manifest":   {append([]byte(magic), 0xff, 0xff, 0xff, 0xff), machine.BadFormat, false},
		"empty manifest":     {append([]byte(magic), 0, 0, 0, 0), machine.BadFormat, false},
		"cut in manifest":    {good[:30], machine.Truncated, false},
		"cut behind it":      {good[:manifestEnd+64], machine.Truncated, true},
		"cut in the image":   {good[:len(good)/2], machine.Truncated, true},
		"cut at the end":     {good[:len(good)-1], machine.Truncated, true},
		"one byte too many":  {append(bytes.Clone(good), 0), machine.Corrupt, true},
		"changed image":      {change(len(good) / 2), machine.Corrupt, true},
		"changed checksum":   {change(len(good) - 6), machine.Corrupt, true},
		"another board":      {bundle(t, Release{Version: version("1.3.0"), Board: "other"}, image, testKey(1)), machine.WrongBoard, false},
		"below the floor":    {bundle(t, newer("0.9.9"), image, testKey(1)), machine.TooOld, false},
		"older":              {bundle(t, newer("1.1.0"), image, testKey(1)), machine.TooOld, false},
		"the same":           {bundle(t, newer("1.2.0"), image, testKey(1)), machine.TooOld, false},
		"larger than a slot": {bundle(t, newer("1.3.0"), slotImage(testSlot+sector, 1), testKey(1)), machine.TooLarge, false},
		"another image":      {signedFor(t, newer("1.3.0"), image, slotImage(int64(len(image)), 2)), machine.Corrupt, true},
		"a shorter image":    {signedFor(t, newer("1.3.0"), image, image[:len(image)-sector]), machine.Corrupt, true},
		"a longer image":     {signedFor(t, newer("1.3.0"), image, append(bytes.Clone(image), make([]byte, sector)...)), machine.Corrupt, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCard(testSlot)
			copy(c.sectors[SlotA], slotImage(testSlot, 7))
			copy(c.sectors[SlotB], slotImage(testSlot, 8))
			before := map[int][]byte{1: bytes.Clone(c.sectors[1]), 2: bytes.Clone(c.sectors[2]), 3: bytes.Clone(c.sectors[3])}
			u := box(t, c, t.TempDir(), running, Boot{Slot: SlotA})
			_, err := u.Install(t.Context(), iotest.HalfReader(bytes.NewReader(test.bundle)), machine.UpdateOptions{}, quiet)
			var refusal *machine.Refusal
			if !errors.As(err, &refusal) || refusal.Kind != test.kind {
				t.Fatalf("got %v, want a refusal of kind %q", err, test.kind)
			}
			if !bytes.Equal(c.sectors[1], before[1]) || !bytes.Equal(c.sectors[SlotA], before[SlotA]) {
				t.Error("the first partition or the running slot has changed")
			}
			if test.begun && bootable(c.sectors[SlotB]) || !test.begun && !bytes.Equal(c.sectors[SlotB], before[SlotB]) {
				t.Error("the other slot is neither cleared nor untouched")
			}
			if err := u.Arm(Baseline{}); err == nil {
				t.Error("what was refused could be tried")
			}
			if c.openings != 0 {
				t.Errorf("%d partitions were left open", c.openings)
			}
		})
	}
}

// signedFor makes a bundle with a good signature whose image is another one.
func signedFor(t *testing.T, r Release, promised, image []byte) []byte {
	t.Helper()
	whole := bundle(t, r, promised, testKey(1))
	liar := bundle(t, r, image[:len(image)/sector*sector], testKey(1))
	b, err := Open(bytes.NewReader(liar), trusted(testKey(1)))
	if err != nil {
		t.Fatal(err)
	}
	packed := liar[b.Length-b.Packed:]
	b, err = Open(bytes.NewReader(whole), trusted(testKey(1)))
	if err != nil {
		t.Fatal(err)
	}
	// The length of what is packed is signed too: pad or cut, so that only the image tells.
	out := bytes.Clone(whole[:b.Length-b.Packed])
	packed = append(bytes.Clone(packed), make([]byte, b.Packed)...)
	return append(out, packed[:b.Packed]...)
}

func TestInstall(t *testing.T) {
	t.Parallel()
	c := newCard(testSlot)
	image := slotImage(testSlot-64<<10, 1)
	u := box(t, c, t.TempDir(), running, Boot{Slot: SlotA})
	raw := bundle(t, newer("1.3.0"), image, testKey(1))
	var stages []string
	got, err := u.Install(t.Context(), iotest.OneByteReader(bytes.NewReader(raw)), machine.UpdateOptions{}, func(p machine.Progress) {
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
		if p.Total != int64(len(image)) || p.Done > p.Total {
			t.Errorf("progress %+v", p)
		}
	})
	if err != nil || got != (machine.Installed{Version: "1.3.0", Slot: SlotB}) {
		t.Fatalf("installed %+v, %v", got, err)
	}
	if strings.Join(stages, " ") != "write check" {
		t.Errorf("stages %q", stages)
	}
	if !bytes.Equal(c.sectors[SlotB][:len(image)], image) {
		t.Error("the slot does not hold the image")
	}
	var s machine.State
	u.Describe(&s)
	if s.Waiting == nil || s.Waiting.Version != "1.3.0" || s.Version != "1.2.0" {
		t.Errorf("state %+v", s)
	}
}

// TestAgain goes back, down to the floor and no further.
func TestAgain(t *testing.T) {
	t.Parallel()
	u := box(t, newCard(testSlot), t.TempDir(), running, Boot{Slot: SlotA})
	image := slotImage(64<<10, 1)
	for v, want := range map[string]bool{"1.2.0": true, "1.1.0": true, "1.0.0": true, "0.99.9": false} {
		_, err := u.Install(t.Context(), bytes.NewReader(bundle(t, newer(v), image, testKey(1))), machine.UpdateOptions{Again: true}, quiet)
		if (err == nil) != want {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// TestCutInstall cuts the power at each write of an installation. The running slot
// and the first partition are always as they were, and the other slot either cannot
// be started or holds the whole of the new image.
func TestCutInstall(t *testing.T) {
	t.Parallel()
	const size, chunk = 256 << 10, 8 << 10 // several syncs
	image := slotImage(size-16<<10, 1)
	raw := bundle(t, newer("1.3.0"), image, testKey(1))
	c, notes := newCard(size), t.TempDir()
	runs, old := slotImage(size, 7), slotImage(size, 8)
	total, whole := math.MaxInt, 0
	for at := 1; at <= total; at++ {
		c.restart()
		copy(c.sectors[SlotA], runs)
		copy(c.sectors[SlotB], old)
		u := box(t, c, notes, running, Boot{Slot: SlotA})
		u.chunk, c.cutAt = chunk, at
		_, err := u.Install(t.Context(), bytes.NewReader(raw), machine.UpdateOptions{}, quiet)
		if err == nil {
			total = at - 1 // there is no such write: the last one was found
		}
		c.restart()
		if a := c.autoboot(t); a.Default != SlotA {
			t.Fatalf("cut at write %d: slot %d would be started", at, a.Default)
		}
		if !bytes.Equal(c.sectors[SlotA], runs) {
			t.Fatalf("cut at write %d: the running slot has changed", at)
		}
		switch slot := c.sectors[SlotB]; {
		case bytes.Equal(slot[:len(image)], image):
			whole++
		case bytes.Equal(slot, old): // nothing has arrived
		case tornBoot(slot, image) && at > 2:
			t.Fatalf("cut at write %d: the other slot can be started, and is not whole", at)
		}
		// After the start: nothing is tried that was not installed to its end.
		if u = box(t, c, notes, running, Boot{Slot: SlotA}); err != nil && u.Arm(Baseline{}) == nil {
			t.Fatalf("cut at write %d: what was not installed could be tried", at)
		}
	}
	if total < 6 || whole < 1 {
		t.Errorf("%d writes, %d of them left a whole slot: the test cut too little", total, whole)
	}
}

// tornBoot tells a slot that has something of a head, without all of the image
// behind it.
func tornBoot(slot, image []byte) bool {
	return bootable(slot) && !bytes.Equal(slot[headSize:len(image)], image[headSize:])
}

// TestCutCommit cuts the power at each write of a commit: autoboot.txt names the one
// slot or the other, and nothing else of the first partition changes.
func TestCutCommit(t *testing.T) {
	t.Parallel()
	seen := map[int]int{}
	for at := 1; at <= 3; at++ {
		for range 20 {
			c := newCard(1 << 20)
			before := bytes.Clone(c.sectors[1])
			c.cutAt = at
			c.random = randomOf(uint64(at), uint64(len(seen)+seen[SlotA]+seen[SlotB]))
			err := setDefault(&slotArea{c, 1}, SlotB)
			if at == 3 && err != nil {
				t.Fatal(err)
			}
			c.restart()
			seen[c.autoboot(t).Default]++
			var changed int
			for i := 0; i < len(before); i += sector {
				if !bytes.Equal(before[i:i+sector], c.sectors[1][i:i+sector]) {
					changed++
				}
			}
			if changed > 1 {
				t.Fatalf("cut at write %d: %d sectors have changed", at, changed)
			}
		}
	}
	if seen[SlotA] == 0 || seen[SlotB] == 0 {
		t.Errorf("seen %v: the cuts never fell on both sides", seen)
	}
}

// TestBadCard installs on a card that does not keep what it is told.
func TestBadCard(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]int64{"head": 0, "image": 64 << 10} {
		c := newCard(testSlot)
		c.decay = func(partition int, at int64, p []byte) {
			if partition == SlotB && at <= from && from < at+int64(len(p)) && bootable(append(p, make([]byte, headSize)...)) {
				p[from-at] ^= 4
			}
		}
		u := box(t, c, t.TempDir(), running, Boot{Slot: SlotA})
		_, err := u.Install(t.Context(), bytes.NewReader(bundle(t, newer("1.3.0"), slotImage(128<<10, 1), testKey(1))), machine.UpdateOptions{}, quiet)
		if !errors.Is(err, errCard) || bootable(c.sectors[SlotB]) {
			t.Errorf("%s: %v; can be started: %v", name, err, bootable(c.sectors[SlotB]))
		}
	}
}

// TestSenderGone ends an installation whose sender goes away or gives up.
func TestSenderGone(t *testing.T) {
	t.Parallel()
	raw := bundle(t, newer("1.3.0"), slotImage(128<<10, 1), testKey(1))
	c := newCard(testSlot)
	u := box(t, c, t.TempDir(), running, Boot{Slot: SlotA})
	gone := errors.New("connection reset by peer")
	_, err := u.Install(t.Context(), io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), iotest.ErrReader(gone)), machine.UpdateOptions{}, quiet)
	if refusal := (*machine.Refusal)(nil); !errors.Is(err, gone) || errors.As(err, &refusal) || bootable(c.sectors[SlotB]) {
		t.Errorf("reset: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = u.Install(ctx, bytes.NewReader(raw), machine.UpdateOptions{}, func(machine.Progress) { cancel(gone) })
	if !errors.Is(err, gone) || bootable(c.sectors[SlotB]) {
		t.Errorf("given up: %v", err)
	}
	// A second one at the same time is told to wait.
	_, err = u.Install(t.Context(), bytes.NewReader(raw), machine.UpdateOptions{}, func(machine.Progress) {
		_, err := u.Install(t.Context(), bytes.NewReader(raw), machine.UpdateOptions{}, quiet)
		if refusal := (*machine.Refusal)(nil); !errors.As(err, &refusal) || refusal.Kind != machine.NotNow {
			t.Errorf("a second installation: %v", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
