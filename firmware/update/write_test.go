package update

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func TestUsed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ size, last, want int64 }{ // last: the last byte that is not 0; negative for none
		{1 << 20, 1<<20 - 1, 1 << 20}, {1 << 20, 300_000, 300_032}, {1 << 20, 65_535, 65_536}, {1 << 20, 65_536, 66_048},
		{1 << 20, 100, 2 * headSize}, {1 << 20, -1, 2 * headSize}, {64<<10 + sector, 64 << 10, 64<<10 + sector}, {0, -1, 0},
	} {
		image := make([]byte, test.size)
		if test.last >= 0 {
			image[test.last] = 1
		}
		if got, err := Used(bytes.NewReader(image)); err != nil || got != test.want {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}

// TestUsedByZeros: a file that ends with zeros is needed to its end: what was in the slot
// before must not shine through.
func TestUsedByZeros(t *testing.T) {
	t.Parallel()
	const reserved, perFAT, perCluster, last = 32, 8, 2, 500
	image := make([]byte, 1<<20)
	copy(image[510:], "\x55\xaa")
	binary.LittleEndian.PutUint16(image[11:], sector)
	image[13], image[16] = perCluster, 2
	binary.LittleEndian.PutUint16(image[14:], reserved)
	binary.LittleEndian.PutUint32(image[36:], perFAT)
	for n := range uint32(last + 1) {
		binary.LittleEndian.PutUint32(image[reserved*sector+4*n:], n+1)
	}
	want := int64(reserved+2*perFAT+(last-2+1)*perCluster) * sector
	if got, err := Used(bytes.NewReader(image)); err != nil || got != want {
		t.Errorf("%d bytes, %v, want %d", got, err, want)
	}
	image[800_000] = 1
	if got, err := Used(bytes.NewReader(image)); err != nil || got != 800_256 {
		t.Errorf("with something behind it %d bytes, %v", got, err)
	}
}

// TestWriteTwice: the same parts give the same bytes, whatever the scratch file had.
func TestWriteTwice(t *testing.T) {
	t.Parallel()
	image := slotImage(64<<10, 1)
	first := bundle(t, newer("1.3.0"), image, testKey(1))
	var out bytes.Buffer
	scratch := &memoryFile{data: bytes.Repeat([]byte("old"), 100_000)}
	if _, err := Write(&out, newer("1.3.0"), bytes.NewReader(image), scratch, testKey(1)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, out.Bytes()) {
		t.Error("two bundles of the same parts differ")
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		release Release
		size    int
		want    string
	}{
		"no board":         {Release{Version: version("1.0")}, 64 << 10, "is no name"},
		"part of a sector": {newer("1.0"), 64<<10 + 1, "cannot have 65537 bytes"},
		"next to nothing":  {newer("1.0"), headSize, "cannot have 4096 bytes"},
		"a floor above":    {Release{Version: version("1.0"), Board: "b", Floor: version("1.1")}, 64 << 10, "above its version"},
	} {
		if _, err := Write(new(bytes.Buffer), test.release, bytes.NewReader(make([]byte, test.size)), new(memoryFile), testKey(1)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	private, public, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParsePublicKey(public)
	if err != nil || !read.Equal(key.Public()) {
		t.Errorf("the halves do not belong together: %v", err)
	}
	if _, err := ParsePublicKey(private); err == nil {
		t.Error("a private key was read as a public one")
	}
	if _, err := ParsePrivateKey(public); err == nil {
		t.Error("a public key was read as a private one")
	}
	if _, err := ReadKeys(t.TempDir()); err == nil {
		t.Error("there are keys in an empty folder")
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	offer := Offer{Version: version("1.3.0"), Board: "test", URL: "a.update", Length: 100, SHA256: strings.Repeat("ab", 32)}
	older, other := offer, offer
	older.Version, other.Version, other.Board = version("1.2.9"), version("2.0.0"), "other"
	raw, err := WriteIndex(Index{Issued: time.Unix(1_800_000_000, 0).UTC(), Releases: []Offer{older, offer, other}}, testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	x, err := ParseIndex(raw, trusted(testKey(1)))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := x.Newest("test"); !ok || got != offer {
		t.Errorf("the newest is %+v", got)
	}
	if _, ok := x.Newest("toaster"); ok {
		t.Error("something is released for a toaster")
	}
	if _, err := ParseIndex(raw, trusted(testKey(2))); err == nil {
		t.Error("it is believed without a key")
	}
	// A bundle's signature is none for an index.
	payload := []byte(`{"format":1,"releases":[]}`)
	if signed(trusted(testKey(1)), indexContext, payload, sign(testKey(1), bundleContext, payload)) {
		t.Error("the signature of one kind of text serves for another")
	}
	offer.URL = ""
	if _, err := WriteIndex(Index{Releases: []Offer{offer}}, testKey(1)); err == nil {
		t.Error("a release without an address was written")
	}
}

func FuzzIndex(f *testing.F) {
	raw, err := WriteIndex(Index{Releases: []Offer{{Version: version("1.3.0"), Board: "test", URL: "a", Length: 1, SHA256: strings.Repeat("ab", 32)}}}, testKey(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"payload":"","signature":""}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if x, err := ParseIndex(raw, trusted(testKey(1))); err == nil && len(x.Releases) != 1 {
			t.Fatal("an index is believed that nobody signed")
		}
	})
}
