package guest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
)

const product = "cheeseboard/firmware/cmd/cheeseboard"

// TestGrowth puts a card of 64 GiB, of which 104 MiB are laid out, into a machine: the
// partition for data and its file system reach to its end, the box serves, goes down in
// order, and what it has left behind is sound.
func TestGrowth(t *testing.T) {
	a := newAppliance(t, product)
	ctx := patient(t, 8*time.Minute)
	card := a.copyCard(t, 64<<30)
	p := a.boot(t, guest.Lab{Card: card})
	first := until(ctx, t, p, "/healthz", answered)
	zero := kernelZero(p)
	t.Logf("/healthz answers %s after the kernel's start, init began after %s", first.Sub(zero).Round(time.Millisecond), stampOf(ctx, t, p, "this is init"))
	line, err := p.Await(ctx, "has grown")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(line.Text)
	_, body := get(ctx, p.Address(80), "/metrics")
	used := number(body, "cheeseboard_memory_total_bytes") - number(body, "cheeseboard_memory_available_bytes")
	t.Logf("memory in use: %.1f MB, of it %.1f MB resident in the program", used/1e6, number(body, "cheeseboard_resident_memory_bytes")/1e6)
	if free := number(body, "cheeseboard_disk_free_bytes"); free < 60<<30 {
		t.Errorf("of a card of 64 GiB %.0f bytes are free", free)
	}
	if _, err := p.Await(ctx, "http://kitchen.local/"); err != nil {
		t.Error(err)
	}
	restart(ctx, t, p)
	if table, err := card.Partitions(); err != nil || table[3].Start+table[3].Size != 64<<30 {
		t.Errorf("the table is %+v, %v", table, err)
	}
	if code, said := checkData(ctx, t, card, "-f", "-n"); code != 0 {
		t.Errorf("e2fsck -fn: %d\n%s", code, said)
	}
	if pin, err := card.ReadFile(ctx, 1, "PIN.txt"); err != nil || !strings.Contains(string(pin), "passphrase") {
		t.Errorf("PIN.txt is %q, %v", pin, err)
	}
	again := a.boot(t, guest.Lab{Card: card})
	until(ctx, t, again, "/healthz", answered)
	if console := again.Console(); strings.Contains(console, "has grown") || strings.Contains(console, "repaired") {
		t.Error("at the second start it grows again, or is repaired")
	}
}

// cutsOr is how many moments the power is cut at: as CHEESEBOARD_TEST_CUTS says, or as usual.
func cutsOr(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("CHEESEBOARD_TEST_CUTS")); err == nil && n > 0 {
		return n
	}
	return usual
}

// booted is how many of the cards that were cut are booted again; of the others the file
// system is checked, as the kernel and init would find it.
const booted = 3

// TestGrowthCuts cuts the power at moments of the first start, while the partition for data
// and its file system grow: the table is whole, the file system is sound once its journal is
// replayed, by the checker in up to three runs, and the next start goes on from there.
func TestGrowthCuts(t *testing.T) {
	a := newAppliance(t, product)
	ctx := patient(t, 9*time.Minute)
	card := a.copyCard(t, 64<<30)
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p := a.boot(t, guest.Lab{Card: card, Drive: guest.LogDrive(log)})
	until(ctx, t, p, "/healthz", answered)
	if err := p.QMP.Do("quit", nil, nil); err != nil {
		t.Log(err) // it may be gone before it answers
	}
	if err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	writes, err := guest.ReadWriteLog(log)
	if err != nil {
		t.Fatal(err)
	}
	const seed = 7
	chance := rand.New(rand.NewPCG(seed, seed))
	n := cutsOr(20)
	t.Logf("%d writes, %d cuts", writes.Len(), n)
	for i := range n {
		// At the beginning most of it happens.
		at := 1 + (writes.Len()-1)*i/n
		cut := a.copyCard(t, 64<<30)
		if err := writes.Replay(cut, at, chance); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("after %d of %d writes", at, writes.Len())
		t.Log(name)
		checkCut(ctx, t, name, cut)
		if i%max(n/booted, 1) == n/booted/2 {
			q := a.boot(t, guest.Lab{Card: cut})
			until(ctx, t, q, "/healthz", answered)
			// The kernel may not mount what the checker can repair; more must not be needed.
			for _, lost := range []string{"the partition for data: aside", "the partition for data: memory"} {
				if strings.Contains(q.Console(), lost) {
					t.Errorf("%s: %s", name, lost)
				}
			}
			q.Cut()
		}
		if err := os.Remove(string(cut)); err != nil {
			t.Fatal(err)
		}
	}
}

// fixes are e2fsck's words for what it has changed beyond the journal.
var fixes = regexp.MustCompile(`(?i)fixed|cleared|salvage|cloned`)

// checkCut sees that a card that was cut can be used.
func checkCut(ctx context.Context, t *testing.T, name string, card guest.Card) {
	t.Helper()
	table, err := card.Partitions()
	if err != nil || table[3].Start != dataStart || table[3].Size != int64(labTable[3].size)*512 && table[3].Start+table[3].Size != 64<<30 {
		t.Errorf("%s: the table is %+v, %v", name, table, err)
	}
	// As init does: where the superblock was written already and what it counts was not, the
	// checker begins with a backup, and has to be run again.
	data := filepath.Join(t.TempDir(), "data")
	if err := card.Extract(ctx, 4, data); err != nil {
		t.Fatal(err)
	}
	var code int
	var said, all string
	for range 3 {
		if code, said = check(ctx, t, data, "-f", "-y"); code&^3 == 0 {
			break
		}
		all += said
	}
	all += said
	if code&^3 != 0 || fixes.MatchString(all) {
		t.Errorf("%s: e2fsck: %d\n%s", name, code, all)
	}
	if code, said = check(ctx, t, data, "-f", "-n"); code != 0 {
		t.Errorf("%s: it is not sound after that: %d\n%s", name, code, said)
	}
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
}
