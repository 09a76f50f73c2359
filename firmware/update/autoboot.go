package update

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Autoboot is what autoboot.txt tells the Raspberry Pi's boot firmware: which
// partition to start, and which one where the flag of a trial is set.
type Autoboot struct{ Default, Try int }

// The partitions of the card that are slots.
const (
	SlotA = 2
	SlotB = 3
)

// Other is the slot that is not s.
func Other(s int) int { return SlotA + SlotB - s }

func isSlot(s int) bool { return s == SlotA || s == SlotB }

// ParseAutoboot reads autoboot.txt as the firmware does, as far as it concerns
// slots: sections, the last value of a key counts, what is not known is passed over.
func ParseAutoboot(text []byte) (Autoboot, error) {
	var a Autoboot
	section, whole := "all", false
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.ToLower(strings.Trim(line, "[]"))
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		number, err := strconv.Atoi(strings.TrimSpace(value))
		switch key := strings.TrimSpace(key); {
		case key == "" || err != nil:
		case key == "tryboot_a_b" && section == "all":
			whole = number == 1
		case key == "boot_partition" && section == "all":
			a.Default = number
		case key == "boot_partition" && section == "tryboot":
			a.Try = number
		}
	}
	switch {
	case !whole:
		return a, fmt.Errorf("read autoboot.txt: tryboot_a_b=1 is missing in [all]: write the image anew, or mend the file")
	case !isSlot(a.Default) || !isSlot(a.Try) || a.Default == a.Try:
		return a, fmt.Errorf("read autoboot.txt: it starts partition %d, and for a trial %d; it must be %d and %d, either way round", a.Default, a.Try, SlotA, SlotB)
	}
	return a, nil
}

// Text is autoboot.txt with a length of size bytes, so that one can be written over
// another without a change of the file's length.
func (a Autoboot) Text(size int) ([]byte, error) {
	text := fmt.Sprintf("[all]\ntryboot_a_b=1\nboot_partition=%d\n[tryboot]\nboot_partition=%d\n", a.Default, a.Try)
	if len(text) > size || size > sector {
		return nil, fmt.Errorf("write autoboot.txt: %d bytes do not fit into the %d that the file has (at most %d)", len(text), size, sector)
	}
	return append([]byte(text), bytes.Repeat([]byte("\n"), size-len(text))...), nil
}
