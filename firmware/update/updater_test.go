package update

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/machine"
	"cheeseboard/storage/durable"
)

var wholeBaseline = Baseline{Healthy: true, Network: true}

// installedAndArmed is a card on which version 1.3.0 was installed and is about to be tried.
func installedAndArmed(t *testing.T) (c *card, notes string) {
	t.Helper()
	c, notes = newCard(testSlot), t.TempDir()
	u := box(t, c, notes, running, Boot{Slot: SlotA})
	if _, err := u.Install(t.Context(), bytes.NewReader(bundle(t, newer("1.3.0"), slotImage(64<<10, 1), testKey(1))), machine.UpdateOptions{}, quiet); err != nil {
		t.Fatal(err)
	}
	if err := u.Arm(wholeBaseline); err != nil {
		t.Fatal(err)
	}
	return c, notes
}

func state(u *Updater) (s machine.State) {
	u.Describe(&s)
	return s
}

// lookUntil looks at a trial until there is a decision.
func lookUntil(t *testing.T, u *Updater, s Signs) Verdict {
	t.Helper()
	for ; ; s.Up += time.Second {
		v, err := u.Judge(s)
		if err != nil {
			t.Fatal(err)
		}
		if v.Decision != Wait {
			return v
		}
	}
}

func TestCommitted(t *testing.T) {
	t.Parallel()
	c, notes := installedAndArmed(t)
	next := newer("1.3.0")
	u := box(t, c, notes, next, Boot{Slot: SlotB, Try: true})
	if !u.OnTrial() || state(u).Trial == nil {
		t.Fatal("the new slot is not on trial")
	}
	_, err := u.Install(t.Context(), bytes.NewReader(bundle(t, newer("1.4.0"), slotImage(64<<10, 1), testKey(1))), machine.UpdateOptions{}, quiet)
	if refusal := (*machine.Refusal)(nil); !errors.As(err, &refusal) || refusal.Kind != machine.NotNow {
		t.Errorf("installed over the way back: %v", err)
	}
	if v := lookUntil(t, u, Signs{Ready: true, Healthy: true, Network: true}); v.Decision != Commit {
		t.Fatalf("%+v", v)
	}
	if a := c.autoboot(t); a != (Autoboot{Default: SlotB, Try: SlotA}) {
		t.Errorf("autoboot.txt says %+v", a)
	}
	s := state(u)
	if u.OnTrial() || s.Trial != nil || s.Accepted == nil || s.Accepted.Version != "1.3.0" {
		t.Errorf("state %+v", s)
	}
	// From now on it starts plainly, and can be updated itself.
	u = box(t, c, notes, next, Boot{Slot: SlotB})
	if s := state(u); u.OnTrial() || s.Refused != nil || s.Accepted == nil {
		t.Errorf("after a restart: %+v", s)
	}
	got, err := u.Install(t.Context(), bytes.NewReader(bundle(t, newer("1.4.0"), slotImage(64<<10, 1), testKey(1))), machine.UpdateOptions{}, quiet)
	if err != nil || got.Slot != SlotA {
		t.Errorf("the next one: %+v, %v", got, err)
	}
}

// TestRolledBack goes through every way in which a trial ends badly. The slot before
// tells which version it was, and why it is not there.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		trial func(t *testing.T, c *card, notes string)
		want  string
	}{
		"never came up": {func(*testing.T, *card, string) {}, "never came up"},
		"hung": {func(t *testing.T, c *card, notes string) {
			box(t, c, notes, newer("1.3.0"), Boot{Slot: SlotB, Try: true})
		}, "never judged"},
		"unwell": {func(t *testing.T, c *card, notes string) {
			u := box(t, c, notes, newer("1.3.0"), Boot{Slot: SlotB, Try: true})
			if v := lookUntil(t, u, Signs{Ready: true, Network: true, Health: "the disk is gone"}); v.Decision != Rollback {
				t.Errorf("%+v", v)
			}
		}, "the disk is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, notes := installedAndArmed(t)
			for try := 1; try <= 2; try++ {
				test.trial(t, c, notes)
				u := box(t, c, notes, running, Boot{Slot: SlotA})
				s := state(u)
				if u.OnTrial() || s.Refused == nil || s.Refused.Version != "1.3.0" || !strings.Contains(s.Refused.Reason, test.want) || s.Refused.Attempts != try {
					t.Fatalf("after the rollback: %+v", s.Refused)
				}
				if c.autoboot(t).Default != SlotA {
					t.Error("the default has changed")
				}
				if again := state(box(t, c, notes, running, Boot{Slot: SlotA})).Refused; again.Reason != s.Refused.Reason || again.Attempts != try || !again.When.Equal(s.Refused.When) {
					t.Errorf("one start later: %+v", again)
				}
				if err := u.Arm(wholeBaseline); err == nil {
					t.Error("what was rolled back is tried again by itself")
				}
				if worth := u.Worth(version("1.3.0")); worth != (try < 2) {
					t.Errorf("after %d attempts it is worth another one: %v", try, worth)
				}
				_, err := u.Install(t.Context(), bytes.NewReader(bundle(t, newer("1.3.0"), slotImage(64<<10, 1), testKey(1))), machine.UpdateOptions{}, quiet)
				if err = errors.Join(err, u.Arm(wholeBaseline)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestCutAfterCommit loses the power between autoboot.txt and the note.
func TestCutAfterCommit(t *testing.T) {
	t.Parallel()
	c, notes := installedAndArmed(t)
	fault := errors.New("the disk is full")
	u, err := New(Options{
		Running: newer("1.3.0"), Keys: trusted(testKey(1)), Boot: Boot{Slot: SlotB, Try: true}, Open: c.Open, Notes: notes,
	})
	if err != nil {
		t.Fatal(err)
	}
	u.Disk = &durable.Disk{Fault: func(durable.Step, string, bool) error { return fault }}
	if v := lookUntil(t, u, Signs{Ready: true, Healthy: true, Network: true}); v.Decision != Commit {
		t.Fatalf("%+v", v)
	}
	u = box(t, c, notes, newer("1.3.0"), Boot{Slot: SlotB})
	if s := state(u); u.OnTrial() || s.Accepted == nil || s.Accepted.Version != "1.3.0" || s.Refused != nil {
		t.Errorf("state %+v", s)
	}
}

// TestCardFailsAtCommit: what cannot be made durable is not kept.
func TestCardFailsAtCommit(t *testing.T) {
	t.Parallel()
	c, notes := installedAndArmed(t)
	u := box(t, c, notes, newer("1.3.0"), Boot{Slot: SlotB, Try: true})
	c.dead = true
	var v Verdict
	for s := (Signs{Ready: true, Healthy: true, Network: true}); v.Decision == Wait; s.Up += time.Second {
		v, _ = u.Judge(s)
	}
	if v.Decision != Rollback || !strings.Contains(v.Text, errCut.Error()) {
		t.Errorf("%+v", v)
	}
	c.restart()
	if r := state(box(t, c, notes, running, Boot{Slot: SlotA})).Refused; r == nil || !strings.Contains(r.Reason, errCut.Error()) {
		t.Errorf("noted: %+v", r)
	}
}

// TestNobodyAsked starts the other slot without an update.
func TestNobodyAsked(t *testing.T) {
	t.Parallel()
	u := box(t, newCard(testSlot), t.TempDir(), running, Boot{Slot: SlotB, Try: true})
	v, err := u.Judge(Signs{Ready: true, Healthy: true, Network: true, Up: time.Hour})
	if err != nil || v.Decision != Rollback {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestWithout looks at machines that cannot be updated: each says why.
func TestWithout(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options, *card){
		"no slots": func(o *Options, _ *card) { o.Boot = Boot{} },
		"no data":  func(o *Options, _ *card) { o.Notes = "" },
		"a card that cannot be written": func(o *Options, c *card) {
			o.Never, c.cutAt = "its card cannot be written any more", 1
		},
		"no autoboot.txt": func(_ *Options, c *card) { clear(c.sectors[1]) },
		"no card":         func(_ *Options, c *card) { c.dead = true },
		"a full disk": func(o *Options, _ *card) {
			o.Boot = Boot{Slot: SlotB}
			o.Disk = &durable.Disk{Fault: func(durable.Step, string, bool) error { return errors.New("no space left") }}
			if err := (memory{Format: 1, Attempt: &attempt{Slot: SlotB, Phase: armed}}).write(new(durable.Disk), o.Notes); err != nil {
				panic(err)
			}
		},
	} {
		c := newCard(testSlot)
		o := Options{Running: running, Keys: trusted(testKey(1)), Boot: Boot{Slot: SlotA}, Open: c.Open, Notes: t.TempDir()}
		change(&o, c)
		u, _ := New(o)
		_, err := u.Install(t.Context(), bytes.NewReader(nil), machine.UpdateOptions{}, quiet)
		refusal := (*machine.Refusal)(nil)
		if !errors.As(err, &refusal) || refusal.Kind != machine.NoSlots || state(u).NoUpdate == "" {
			t.Errorf("%s: %v; state %+v", name, err, state(u))
		}
	}
}

// TestNever: on a card that cannot be written nothing is noted, what was noted is told, and a
// trial, which cannot be settled, ends where it began.
func TestNever(t *testing.T) {
	t.Parallel()
	notes := t.TempDir()
	if err := (memory{Format: 1, Refused: &machine.Refused{Version: "0.9.0"}, Attempt: &attempt{Slot: SlotB, Phase: armed}}).write(new(durable.Disk), notes); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(notes, memoryName))
	if err != nil {
		t.Fatal(err)
	}
	c := newCard(testSlot)
	c.cutAt = 1 // whatever is written fails
	protected := &durable.Disk{Fault: func(durable.Step, string, bool) error { return errors.New("read-only file system") }}
	u, err := New(Options{Running: running, Boot: Boot{Slot: SlotB}, Open: c.Open, Notes: notes, Disk: protected, Never: "it cannot be written"})
	if s := state(u); err != nil || s.NoUpdate != "it cannot be written" || s.Refused == nil || s.Trial == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	v := Verdict{}
	for up := time.Duration(0); v.Decision == Wait && up < time.Hour; up += time.Second {
		v, _ = u.Judge(Signs{Up: up, Ready: true, Healthy: true}) // that it fails is what is tried
	}
	if v.Decision != Rollback {
		t.Errorf("%+v", v)
	}
	if after, err := os.ReadFile(filepath.Join(notes, memoryName)); err != nil || !bytes.Equal(after, before) {
		t.Errorf("%s, %v", after, err)
	}
}

func TestDamagedNote(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"format":7}`, `{"format":1,"attempt":{"version":"x"}}`} {
		notes := t.TempDir()
		if err := os.WriteFile(filepath.Join(notes, memoryName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := state(box(t, newCard(testSlot), notes, running, Boot{Slot: SlotA})); s.NoUpdate != "" || s.Refused != nil {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

func TestFromFolder(t *testing.T) {
	t.Parallel()
	c, stick := newCard(testSlot), t.TempDir()
	u := box(t, c, t.TempDir(), running, Boot{Slot: SlotA})
	put := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(stick, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.FromFolder(t.Context(), stick, quiet); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty stick: %v", err)
	}
	image := slotImage(64<<10, 1)
	put("cheeseboard-1.2.0.update", bundle(t, newer("1.2.0"), image, testKey(1)))
	if _, err := u.FromFolder(t.Context(), stick, quiet); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a stick with the version that runs: %v", err)
	}
	put("cheeseboard-9.0.0.update", bundle(t, newer("9.0.0"), image, testKey(2)))
	put("cheeseboard-8.0.0.update", bundle(t, Release{Version: version("8.0.0"), Board: "other"}, image, testKey(1)))
	put("cheeseboard-7.0.0.update", bundle(t, newer("7.0.0"), image, testKey(1))[:1000])
	put("notes.txt", []byte("x"))
	if err := os.Symlink("/dev/zero", filepath.Join(stick, "cheeseboard-x.update")); err != nil {
		t.Fatal(err)
	}
	_, err := u.FromFolder(t.Context(), stick, quiet)
	for _, want := range []string{"9.0.0.update: the bundle is not signed", "8.0.0.update: it is for other", "7.0.0.update: it has 1000 bytes", "no plain file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something of %q", err, want)
		}
	}
	put("cheeseboard-1.3.0.update", bundle(t, newer("1.3.0"), image, testKey(1)))
	put("cheeseboard-1.10.0.update", bundle(t, newer("1.10.0"), image, testKey(1)))
	got, err := u.FromFolder(t.Context(), stick, quiet)
	if err != nil || got.Version != "1.10.0" {
		t.Errorf("installed %+v, %v", got, err)
	}
	if _, err := u.FromFolder(t.Context(), stick, quiet); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("once more: %v", err)
	}
}
