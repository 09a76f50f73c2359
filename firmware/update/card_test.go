package update

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// errCut is what every use of a card gives after the power was cut.
var errCut = errors.New("the power was cut")

// card is a card in memory that can lose its power at any write. What was written
// and not synced may be on it afterwards or not, sector by sector.
type card struct {
	mu       sync.Mutex
	sectors  map[int][]byte // partition → what is durable
	pending  []pendingWrite
	writes   int // so far, syncs counted too
	cutAt    int // the power goes at this one; 0 for never
	dead     bool
	decay    func(partition int, at int64, p []byte) // changes what is read
	random   *rand.Rand
	openings int
}

type pendingWrite struct {
	partition int
	at        int64
	data      []byte
}

type slotArea struct {
	card      *card
	partition int
}

func newCard(slotSize int64) *card {
	return &card{
		sectors: map[int][]byte{1: makeFAT16(Autoboot{Default: SlotA, Try: SlotB}), SlotA: make([]byte, slotSize), SlotB: make([]byte, slotSize)},
		random:  rand.New(rand.NewPCG(1, 2)),
	}
}

func (c *card) Open(partition int) (Area, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return nil, errCut
	}
	c.openings++
	return &slotArea{c, partition}, nil
}

// tick counts a write, and reports whether the power goes with it.
func (c *card) tick() bool {
	c.writes++
	if c.writes == c.cutAt {
		c.cut()
	}
	return c.dead
}

// cut keeps a random part of what was not synced, down to single sectors.
func (c *card) cut() {
	c.dead = true
	for _, w := range c.pending {
		for i := 0; i < len(w.data); i += sector {
			if c.random.IntN(2) == 0 {
				copy(c.sectors[w.partition][w.at+int64(i):], w.data[i:min(i+sector, len(w.data))])
			}
		}
	}
	c.pending = nil
}

// restart gives the card power again.
func (c *card) restart() { c.dead, c.cutAt, c.writes = false, 0, 0 }

func (a *slotArea) Size() int64  { return int64(len(a.card.sectors[a.partition])) }
func (a *slotArea) Close() error { a.card.openings--; return nil }

func (a *slotArea) WriteAt(p []byte, at int64) (int, error) {
	c := a.card
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return 0, errCut
	}
	if at+int64(len(p)) > a.Size() {
		return 0, io.ErrShortWrite
	}
	c.pending = append(c.pending, pendingWrite{a.partition, at, bytes.Clone(p)})
	if c.tick() {
		return 0, errCut
	}
	return len(p), nil
}

func (a *slotArea) ReadAt(p []byte, at int64) (int, error) {
	c := a.card
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return 0, errCut
	}
	all := c.sectors[a.partition]
	if at > int64(len(all)) {
		return 0, io.EOF
	}
	n := copy(p, all[at:])
	for _, w := range c.pending { // what is in memory is seen too
		if from, to := max(w.at, at), min(w.at+int64(len(w.data)), at+int64(n)); w.partition == a.partition && from < to {
			copy(p[from-at:to-at], w.data[from-w.at:])
		}
	}
	if c.decay != nil {
		c.decay(a.partition, at, p[:n])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (a *slotArea) Sync() error {
	c := a.card
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || c.tick() {
		return errCut
	}
	for _, w := range c.pending {
		copy(c.sectors[w.partition][w.at:], w.data)
	}
	c.pending = nil
	return nil
}

// autoboot reads what the boot firmware would.
func (c *card) autoboot(t *testing.T) Autoboot {
	t.Helper()
	a, _, err := readAutoboot(&slotArea{c, 1})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// makeFAT16 makes a first partition of 4 MiB with an autoboot.txt of 512 bytes and
// a long name beside it.
func makeFAT16(a Autoboot) []byte {
	const (
		total, reserved, perFAT, entries = 8192, 1, 32, 512
		root                             = (reserved + 2*perFAT) * sector
		data                             = root + entries*dirEntry
		cluster                          = 5
	)
	p := make([]byte, total*sector)
	put := binary.LittleEndian.PutUint16
	put(p[11:], sector)
	p[13] = 1
	put(p[14:], reserved)
	p[16] = 2
	put(p[17:], entries)
	put(p[19:], total)
	put(p[22:], perFAT)
	p[510], p[511] = 0x55, 0xaa
	put(p[sector+2*cluster:], 0xffff)
	copy(p[root:], "CHEESEBOARD\x08")
	copy(p[root+dirEntry:], "Aautoboot.tx\x0f")
	p[root+dirEntry+11] = 0x0f
	entry := p[root+2*dirEntry:]
	copy(entry, autobootName)
	entry[11] = 0x20
	put(entry[26:], cluster)
	binary.LittleEndian.PutUint32(entry[28:], sector)
	text, err := a.Text(sector)
	if err != nil {
		panic(err)
	}
	copy(p[data+(cluster-2)*sector:], text)
	return p
}

// testKey is a key that is the same in each run.
func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func trusted(k ed25519.PrivateKey) []ed25519.PublicKey {
	return []ed25519.PublicKey{k.Public().(ed25519.PublicKey)}
}

func version(s string) Version {
	v, err := ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// slotImage is an image whose every sector tells what it is, and that does not
// compress to nothing.
func slotImage(size int64, seed uint64) []byte {
	image := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(image) // never fails
	return image
}

// bundle makes one in memory.
func bundle(t testing.TB, r Release, image []byte, key ed25519.PrivateKey) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(&out, r, bytes.NewReader(image), new(memoryFile), key); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// memoryFile is an io.ReadWriteSeeker in memory.
type memoryFile struct {
	data []byte
	at   int
}

func (f *memoryFile) Write(p []byte) (int, error) {
	f.data = append(f.data[:f.at], p...)
	f.at = len(f.data)
	return len(p), nil
}

func (f *memoryFile) Read(p []byte) (int, error) {
	if f.at == len(f.data) {
		return 0, io.EOF
	}
	n := copy(p, f.data[f.at:])
	f.at += n
	return n, nil
}

func (f *memoryFile) Seek(to int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	f.at = int(to)
	return to, nil
}

func randomOf(a, b uint64) *rand.Rand { return rand.New(rand.NewPCG(a, b)) }
