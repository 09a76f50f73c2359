package guest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
	"cheeseboard/syncer/upstreamtest"
)

// ack is what a box has told at a moment: so many files are here.
type ack struct {
	log   int64 // bytes of the log of writes, when the answer had come
	files int
}

// TestPowerCuts takes the current away from a box at its first boot, while it grows its
// data partition, makes its identity and syncs. Of what was written since the last flush
// chance loses half. It always boots again, its file system and its store are sound, and
// what it has told is there.
func TestPowerCuts(t *testing.T) {
	cuts := 6
	if os.Getenv("CHEESEBOARD_TEST_LONG") != "" {
		cuts = 100
	}
	verifier := buildProgram(t)[program]
	pristine, log, acks := recordFirstDay(t)
	chance := rand.New(rand.NewPCG(1, 7))
	at := make([]int, cuts)
	for i := range at {
		at[i] = 1 + chance.IntN(log.Len())
	}
	slices.Sort(at)
	t.Logf("%d writes with %d flushes, %d times told how much is here; cuts after %d", log.Len(), log.Flushes(), len(acks), at)
	for _, cut := range at {
		card, err := pristine.Copy(t.Context(), filepath.Join(t.TempDir(), "cut.img"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Replay(card, cut, chance); err != nil {
			t.Fatal(err)
		}
		promised := 0
		for _, a := range acks {
			if log.Before(a.log) <= cut {
				promised = max(promised, a.files)
			}
		}
		t.Run(fmt.Sprint(cut), func(t *testing.T) { bootsAfter(t, verifier, card, promised) })
		if err := os.Remove(string(card)); err != nil {
			t.Error(err)
		}
	}
}

// recordFirstDay boots a new card, and has the box sync. It gives the card as it was
// before, what was written to it until all was here, and what the box has told meanwhile.
func recordFirstDay(t *testing.T) (pristine guest.Card, log *guest.WriteLog, acks []ack) {
	t.Helper()
	index, projects := upstreamtest.NewIndex(), []string(nil)
	for i := range 40 {
		name := fmt.Sprintf("parcel-%02d", i)
		for v := range 3 {
			if _, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: fmt.Sprintf("1.%d", v), Payload: 500 << (i % 10)}); err != nil {
				t.Fatal(err)
			}
		}
		projects = append(projects, strconv.Quote(name))
	}
	upstream := upstreamtest.NewServer(index)
	upstream.Dialect.RelativeURLs = true // it has another address from inside
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	card := newCard(t, 2<<30)
	settings := fmt.Sprintf("[sync]\nprojects = [%s]\nlatest = 3\n[upstream]\nurl = %q\n[clock]\nverify = \"never\"\n",
		strings.Join(projects, ", "), insideURL(upstream))
	if err := card.WriteFile(t.Context(), 1, "cheeseboard.toml", []byte(settings)); err != nil {
		t.Fatal(err)
	}
	pristine, err := card.Copy(t.Context(), filepath.Join(t.TempDir(), "pristine.img"), 0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "writes.log")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	box, err := guest.Board{Model: guest.Virt, Card: card, Slot: 2, Drive: guest.LogDrive(path), Ports: []int{80}}.PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	ctx := patient(t, 5*time.Minute)
	for files := 0; files < len(projects)*3; {
		if ctx.Err() != nil || box.Off() {
			t.Fatalf("only %d files have come (%v); the box said:\n%s", files, ctx.Err(), box.Console())
		}
		files, _ = filesHere(ctx, box)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack{info.Size(), files})
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err := box.QMP.Do("quit", nil, nil); err != nil { // which tells the log how long it is
		t.Log(err) // it may be gone before it answers
	}
	if err := box.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if log, err = guest.ReadWriteLog(path); err != nil {
		t.Fatal(err)
	}
	return pristine, log, acks
}

// insideURL is where a guest reaches an upstream that runs here: 10.0.2.2 is this
// machine, in the network that qemu makes.
func insideURL(u *upstreamtest.Server) string {
	return strings.Replace(u.IndexURL(), "127.0.0.1", "10.0.2.2", 1)
}

// filesHere asks a box how many files it has.
func filesHere(ctx context.Context, box *guest.Powered) (files int, told bool) {
	status, body := get(ctx, box.Address(80), "/metrics")
	return int(number(body, "cheeseboard_store_files")), status == http.StatusOK
}

// bootsAfter boots a card, and sees that what was promised is there, and sound.
func bootsAfter(t *testing.T, verifier string, card guest.Card, promised int) {
	box, err := guest.Board{Model: guest.Virt, Card: card, Slot: 2, Ports: []int{80}}.PowerOn(t)
	if err != nil {
		t.Fatal(err)
	}
	ctx := patient(t, 3*time.Minute)
	until(ctx, t, box, "/metrics", func(status int, _ string) bool { return status == http.StatusOK })
	files, told := filesHere(ctx, box)
	if !told {
		t.Fatal("the box came up, and is gone again")
	}
	if files < promised {
		t.Errorf("%d files are here, and %d were", files, promised)
	}
	box.Cut()
	data := filepath.Join(t.TempDir(), "data")
	if err := card.Extract(ctx, 4, data); err != nil {
		t.Fatal(err)
	}
	// The journal is played back, files that were open when they were deleted are cleared
	// away, as the kernel does when it mounts; anything more would be a fault.
	if out, err := exec.Command("e2fsck", "-p", data).CombinedOutput(); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.ExitCode() != 1 {
			t.Errorf("play the journal back: %v\n%s", err, out)
		}
	}
	if out, err := exec.Command("e2fsck", "-f", "-n", data).CombinedOutput(); err != nil {
		t.Errorf("the file system is not sound: %v\n%s", err, out)
	}
	folder := t.TempDir()
	if out, err := exec.Command("debugfs", "-R", "rdump / "+folder, data).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	verify := exec.Command(verifier, "verify", "--data", filepath.Join(folder, "cheeseboard"))
	verify.Dir = folder
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("the store is not sound: %v\n%s", err, out)
	}
}
