package guest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
)

// TestReadOnlyCard boots a card that was filled, and then takes no more writes, as many do
// at their end: after an end in order, and after a cut that leaves the journal and the
// store's logs as they were at that moment. The box says so, and pip installs from it.
func TestReadOnlyCard(t *testing.T) {
	a := newAppliance(t, product)
	ctx := patient(t, 9*time.Minute)
	card := a.copyCard(t, 1<<30)
	boot := func(readOnly bool) *guest.Powered { return a.boot(t, guest.Lab{Card: card, ReadOnly: readOnly}) }

	// Another kind answers each time that it could not write.
	failing := func() *guest.Powered {
		return a.boot(t, guest.Lab{Card: card, Drive: []string{
			"-blockdev", "driver=file,node-name=file,filename={card}",
			"-blockdev", `{"driver":"blkdebug","node-name":"card","image":"file","inject-error":[{"event":"none","iotype":"write","errno":5}]}`,
			"-device", "virtio-blk-pci,drive=card",
		}})
	}

	fill(ctx, t, card, func() *guest.Powered { return boot(false) }, func(p *guest.Powered) { restart(ctx, t, p) })
	p := boot(true)
	servesReadOnly(ctx, t, p)
	restart(ctx, t, p) // nothing keeps it from its end
	p = failing()
	servesReadOnly(ctx, t, p)
	restart(ctx, t, p)

	p = boot(false)
	until(ctx, t, p, "/healthz", func(status int, _ string) bool { return status == http.StatusOK })
	if strings.Contains(p.Console(), "the partition for data: ") {
		t.Error("a card that can be written again is not as it was")
	}
	cutSettled(ctx, t, p)
	p = boot(true)
	servesReadOnly(ctx, t, p)
	p.Cut()
	servesReadOnly(ctx, t, failing())
}

// TestReadOnlyImage does so with the image, after a cut.
func TestReadOnlyImage(t *testing.T) {
	wanted(t)
	card := newCard(t, 1<<30)
	ctx := patient(t, 9*time.Minute)
	boot := func(readOnly bool) *guest.Powered {
		p, err := guest.Board{Model: guest.Virt, Card: card, Slot: 2, ReadOnly: readOnly, Ports: []int{80}}.PowerOn(t)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	fill(ctx, t, card, func() *guest.Powered { return boot(false) }, func(p *guest.Powered) { cutSettled(ctx, t, p) })
	p := boot(true)
	servesReadOnly(ctx, t, p)
	if _, health := get(ctx, p.Address(80), "/healthz"); !strings.Contains(health, "cannot be updated: its card cannot be written any more") {
		t.Errorf("that it cannot be updated is not said: %s", health)
	}
}

// fill boots a card that was never used, until the box has all that pip needs, and ends it.
func fill(ctx context.Context, t *testing.T, card guest.Card, boot func() *guest.Powered, end func(*guest.Powered)) {
	t.Helper()
	upstream, address := startUpstream(t)
	settings := fmt.Sprintf("[upstream]\nurl = %q\n[sync]\nprojects = [\"cheeseplate[strong]\"]\n[clock]\nverify = \"never\"\n", address)
	if err := card.WriteFile(ctx, 1, "cheeseboard.toml", []byte(settings)); err != nil {
		t.Fatal(err)
	}
	p := boot()
	until(ctx, t, p, "/metrics", func(_ int, body string) bool {
		return number(body, "cheeseboard_store_files") >= plateFiles && number(body, "cheeseboard_store_partials") == 0
	})
	if err := upstream.Kill(); err != nil {
		t.Fatal(err)
	}
	end(p)
}

// settled is how long the kernel takes at most to bring to its place what it has in the
// journal (dirty_expire_centisecs, dirty_writeback_centisecs), twice.
const settled = 70 * time.Second

// cutSettled takes the current away when what was stored is in its place. The journal and
// the store's logs are as in a box that runs; but what is in the journal only, a card that
// cannot be written does not give back.
func cutSettled(ctx context.Context, t *testing.T, p *guest.Powered) {
	t.Helper()
	select {
	case <-time.After(settled):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	p.Cut()
}

// servesReadOnly wants a box to serve what is on a card that cannot be written, and to say
// what is wrong.
func servesReadOnly(ctx context.Context, t *testing.T, p *guest.Powered) {
	t.Helper()
	line, err := p.Await(ctx, "the partition for data: read-only")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(line.Text)
	until(ctx, t, p, "/healthz", func(status int, body string) bool {
		return status == http.StatusOK && strings.Contains(body, "the data partition can only be read: the card cannot be written any more")
	})
	if _, body := get(ctx, p.Address(80), "/metrics"); number(body, "cheeseboard_store_files") < plateFiles {
		t.Fatalf("not all is here that was stored:\n%s", body)
	}
	pipInstalls(ctx, t, p.Address(80), "cheeseplate[strong]")
}
