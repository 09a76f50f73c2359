package guest_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"cheeseboard/firmware/guest"
	"cheeseboard/syncer/upstreamtest"
)

// The line of TestFar: what it loses, of what goes and of what comes, and how long each
// takes.
const (
	farLoss  = 10                     // percent
	farDelay = 100 * time.Millisecond // 200 ms for there and back
)

// upstreamFile is where a guest finds the address of its upstream.
const upstreamFile = "/upstream"

// playFar is a box whose cable is bad.
func playFar(s *guest.Stage) error {
	upstream, err := os.ReadFile(upstreamFile)
	if err != nil {
		return err
	}
	if err := badCable("eth0", "10.0.2.15/24"); err != nil {
		return err
	}
	b, err := startBox("clock.verify=never", "upstream.url="+string(upstream), `sync.projects=["cheeseplate"]`)
	if err != nil {
		return err
	}
	s.Report("serving", nil)
	return <-b.ended
}

// badCable brings an interface up, and has the kernel lose and delay what goes and what
// comes over it.
func badCable(name, address string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	ip, network, err := net.ParseCIDR(address)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: network.Mask}}); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	// What comes can only be delayed on its way through another interface.
	through := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "in0"}}
	if err := netlink.LinkAdd(through); err != nil {
		return fmt.Errorf("make %s: %w", through.Name, err)
	}
	if err := netlink.LinkSetUp(through); err != nil {
		return err
	}
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := netlink.QdiscAdd(ingress); err != nil {
		return fmt.Errorf("look at what comes: %w", err)
	}
	all := &netlink.MatchAll{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: link.Attrs().Index, Parent: ingress.Handle, Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions:     []netlink.Action{netlink.NewMirredAction(through.Attrs().Index)},
	}
	if err := netlink.FilterAdd(all); err != nil {
		return fmt.Errorf("lead away what comes: %w", err)
	}
	for _, l := range []netlink.Link{link, through} {
		bad := netlink.NewNetem(
			netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
			netlink.NetemQdiscAttrs{Latency: uint32(farDelay.Microseconds()), Loss: farLoss, Limit: 1000})
		if err := netlink.QdiscAdd(bad); err != nil {
			return fmt.Errorf("make %s bad: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// TestFar has a box behind a bad cable: a tenth of all packets is lost, of what goes and
// of what comes, and a round trip takes 200 ms. It fills itself from an index that breaks
// connections besides, the index is switched off, and pip installs over that cable.
func TestFar(t *testing.T) {
	wanted(t)
	upstream, address := startUpstream(t)
	upstream.Tell(upstreamtest.OnFile("*.whl"), upstreamtest.CutAfter(200), 3)
	file := filepath.Join(t.TempDir(), "upstream")
	if err := os.WriteFile(file, []byte(address), 0o644); err != nil {
		t.Fatal(err)
	}
	files := buildProgram(t)
	files[upstreamFile] = file
	g := guest.Boot(t, "far", guest.Machine{
		Modules: []string{"virtio_pci", "virtio_net", "sch_netem", "sch_ingress", "cls_matchall", "act_mirred", "ifb"},
		Files:   files, Memory: 512, Ports: []int{80},
	})
	g.Next("serving", 10*time.Minute, nil)
	ctx := patient(t, 20*time.Minute)
	began := time.Now()
	tick := time.NewTicker(5 * time.Second) // numbers cross that cable too
	defer tick.Stop()
	for {
		_, body := get(ctx, g.Address(80), "/metrics")
		if number(body, "cheeseboard_store_files") >= plateFiles-1 && number(body, "cheeseboard_store_partials") == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it does not fill itself; at last it said\n%s", body)
		}
	}
	t.Logf("it has filled itself after %s", time.Since(began).Round(time.Second))
	if err := upstream.Kill(); err != nil {
		t.Fatal(err)
	}
	pipInstalls(ctx, t, g.Address(80), "cheeseplate")
}
