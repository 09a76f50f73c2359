package guest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
	"cheeseboard/firmware/update"
)

// press makes bundles of slots that differ from the image's in a few files.
type press struct {
	base guest.Card // a card with the image, never started
	dir  string
	key  []byte
}

// board is what the image says it is for.
const board = "raspberrypi-arm64"

// newPress uses the key that the image was built with: its updates are believed.
func newPress(t *testing.T) *press {
	t.Helper()
	base := newCard(t, 0)
	key, err := os.ReadFile(filepath.Join(os.Getenv("CHEESEBOARD_TEST_IMAGE"), "release.pem"))
	if err != nil {
		t.Fatalf("the key that the image was built with has to lie beside it (scripts/image --key): %v", err)
	}
	return &press{base, t.TempDir(), key}
}

// slot is how a slot differs from the one of the image.
type slot struct {
	version string
	append  string         // to the kernel's command line
	program string         // a program of testdata in place of cheeseboard
	init    string         // likewise, of init
	trial   *update.Policy // nil: hasty
	release func(r *update.Release)
	key     []byte // nil: the image's
}

// hasty is a policy for tests: what is wrong shows as well in less time. On a slow machine
// the start takes long all the same.
var hasty = &update.Policy{Hold: 10 * time.Second, Patience: 40 * time.Second}

// bundle makes one, and gives its path.
func (p *press) bundle(ctx context.Context, t *testing.T, s slot) string {
	t.Helper()
	version, err := update.ParseVersion(s.version)
	if err != nil {
		t.Fatal(err)
	}
	r := update.Release{Version: version, Board: board, Trial: s.trial}
	if r.Trial == nil {
		r.Trial = hasty
	}
	if s.release != nil {
		s.release(&r)
	}
	card, err := p.base.Copy(ctx, filepath.Join(p.dir, "slot-"+s.version), 0)
	if err == nil {
		err = p.change(ctx, t, card, s, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	table, err := card.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(string(card))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(p.dir, "cheeseboard-"+s.version+"-arm64.update")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.Create(name + ".packed")
	if err != nil {
		t.Fatal(err)
	}
	text := s.key
	if text == nil {
		text = p.key
	}
	key, err := update.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	image := io.NewSectionReader(in, table[1].Start, table[1].Size)
	used, err := update.Used(image)
	if err != nil {
		t.Fatal(err)
	}
	_, err = update.Write(out, r, io.NewSectionReader(image, 0, used), packed, key)
	if err = errors.Join(err, out.Close(), in.Close(), packed.Close(), os.Remove(string(card)), os.Remove(packed.Name())); err != nil {
		t.Fatal(err)
	}
	return name
}

// change writes into slot A of a card what is different.
func (p *press) change(ctx context.Context, t *testing.T, card guest.Card, s slot, r update.Release) error {
	release, err := json.Marshal(r)
	if err != nil {
		return err
	}
	over := map[string][]byte{strings.TrimPrefix(update.ReleasePath, "/"): release}
	if s.init != "" {
		over["init"] = p.build(ctx, t, s.init)
	}
	initramfs, err := card.ReadFile(ctx, 2, "initramfs.gz")
	if err != nil {
		return err
	}
	// A second archive behind the first: its files take the place of those before.
	if err = card.WriteFile(ctx, 2, "initramfs.gz", append(initramfs, cpio(over)...)); err != nil {
		return err
	}
	if s.append != "" {
		line, err := card.ReadFile(ctx, 2, "cmdline.txt")
		if err != nil {
			return err
		}
		if err := card.WriteFile(ctx, 2, "cmdline.txt", []byte(strings.TrimSpace(string(line))+" "+s.append+"\n")); err != nil {
			return err
		}
	}
	if s.program != "" {
		return card.WriteFile(ctx, 2, "cheeseboard", p.build(ctx, t, s.program))
	}
	return nil
}

// build makes a program of testdata/slots for the board.
func (p *press) build(ctx context.Context, t *testing.T, name string) []byte {
	t.Helper()
	target := filepath.Join(p.dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", target, "./testdata/slots/"+name)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	raw, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// cpio packs programs and files in the form "newc", under gzip.
func cpio(files map[string][]byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	size := 0
	pad := func(n int) []byte { return make([]byte, (4-n%4)%4) }
	entry := func(name string, mode int, content []byte) {
		head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		for _, b := range [][]byte{[]byte(head), pad(len(head)), content, pad(len(content))} {
			n, _ := w.Write(b) // into memory
			size += n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entry(name, 0o100755, files[name])
	}
	entry("TRAILER!!!", 0, nil)
	_ = w.Close() // likewise
	return out.Bytes()
}
