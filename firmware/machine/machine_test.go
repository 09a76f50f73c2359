package machine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// keeper notes what it is asked for.
type keeper struct {
	asked  []string
	got    []byte
	refuse error
	head   int // so many bytes are read before it refuses
}

func (k *keeper) State() State {
	return State{Version: "1.2.0", Slot: 2, Refused: &Refused{Version: "1.3.0", Reason: "it hung", When: time.Unix(1_800_000_000, 0).UTC(), Attempts: 1}}
}

func (k *keeper) Update(_ context.Context, bundle io.Reader, o UpdateOptions, report func(Progress)) (Installed, error) {
	if o.Again {
		k.asked = append(k.asked, "again")
	}
	if k.refuse != nil {
		_, _ = io.CopyN(io.Discard, bundle, int64(k.head))
		return Installed{}, k.refuse
	}
	report(Progress{Stage: "write", Done: 1, Total: o.Size})
	raw, err := io.ReadAll(bundle)
	k.got = raw
	report(Progress{Stage: "check", Done: int64(len(raw)), Total: o.Size})
	return Installed{Version: "1.3.0", Slot: 3}, err
}

func (k *keeper) Restart(how How) error { k.asked = append(k.asked, string(how)); return k.refuse }
func (k *keeper) ResetNetwork() error   { k.asked = append(k.asked, "network"); return k.refuse }
func (k *keeper) PIN(text string) error { k.asked = append(k.asked, "pin "+text); return k.refuse }

func start(t *testing.T) (*keeper, *Client) {
	t.Helper()
	k, socket := &keeper{}, filepath.Join(t.TempDir(), "machine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: NewHandler(k, nil)}}
	server.Start()
	t.Cleanup(server.Close)
	return k, NewClient(socket)
}

func TestState(t *testing.T) {
	_, c := start(t)
	s, err := c.State(t.Context())
	if err != nil || s.Version != "1.2.0" || s.Slot != 2 || s.Refused == nil || s.Refused.Reason != "it hung" || s.Trial != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOrders(t *testing.T) {
	k, c := start(t)
	ctx := t.Context()
	for _, err := range []error{c.Restart(ctx, Reboot), c.Restart(ctx, TryOther), c.Restart(ctx, PowerOff), c.ResetNetwork(ctx), c.PIN(ctx, "1234\r\n"), c.PIN(ctx, "")} {
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{"reboot", "trial", "poweroff", "network", "pin 1234\r\n", "pin "}; !slices.Equal(k.asked, want) {
		t.Errorf("asked %q, want %q", k.asked, want)
	}
	if err := c.Restart(ctx, "sideways"); err == nil || !strings.Contains(err.Error(), `"sideways"`) {
		t.Errorf("sideways: %v", err)
	}
	if err := c.PIN(ctx, strings.Repeat("x", mostPIN+1)); err == nil {
		t.Error("a PIN of 4 KiB was written")
	}
	k.refuse = errors.New("the card is gone")
	if err := c.ResetNetwork(ctx); err == nil || !strings.Contains(err.Error(), "the card is gone") {
		t.Errorf("%v", err)
	}
}

func TestUpdate(t *testing.T) {
	k, c := start(t)
	bundle := bytes.Repeat([]byte("cheese"), 1<<20)
	var stages []string
	report := func(p Progress) { stages = append(stages, p.Stage) }
	got, err := c.Update(t.Context(), bytes.NewReader(bundle), UpdateOptions{Again: true, Size: int64(len(bundle))}, report)
	if err != nil || got != (Installed{"1.3.0", 3}) || !bytes.Equal(k.got, bundle) || !slices.Equal(stages, []string{"write", "check"}) || !slices.Equal(k.asked, []string{"again"}) {
		t.Errorf("%+v, %v; %d bytes, %q, %q", got, err, len(k.got), stages, k.asked)
	}
	// Of unknown length.
	got, err = c.Update(t.Context(), io.MultiReader(bytes.NewReader(bundle)), UpdateOptions{Size: -1}, report)
	if err != nil || got.Slot != 3 || !bytes.Equal(k.got, bundle) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestUpdateRefused: the reason arrives, also where most of the bundle was never read.
func TestUpdateRefused(t *testing.T) {
	k, c := start(t)
	for _, head := range []int{0, 100, 3 << 20} {
		k.refuse, k.head = &Refusal{Kind: WrongBoard, Text: "it is for another board"}, head
		_, err := c.Update(t.Context(), bytes.NewReader(make([]byte, 32<<20)), UpdateOptions{Size: 32 << 20}, func(Progress) {})
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Kind != WrongBoard || refusal.Text != "it is for another board" {
			t.Errorf("after %d bytes: %v", head, err)
		}
	}
	k.refuse = errors.New("the card is gone")
	_, err := c.Update(t.Context(), strings.NewReader("x"), UpdateOptions{Size: 1}, func(Progress) {})
	if errors.As(err, new(*Refusal)) || err == nil || err.Error() != "the card is gone" {
		t.Errorf("%v", err)
	}
}

func TestNobody(t *testing.T) {
	c := NewClient(filepath.Join(t.TempDir(), "nobody.sock"))
	if _, err := c.State(t.Context()); err == nil {
		t.Error("somebody answered")
	}
}
