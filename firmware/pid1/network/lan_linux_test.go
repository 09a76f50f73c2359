package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inside marks the process that runs the tests in a network namespace of its own.
const inside = "CHEESEBOARD_TEST_NETNS"

// TestMain runs the tests in a namespace without any network: what they set up cannot
// touch that of the machine.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil { // a namespace cannot be had: those who need one skip
		os.Exit(m.Run())
	}
	os.Exit(0)
}

// needNamespace skips where the tests would touch the network of the machine.
func needNamespace(t *testing.T) {
	t.Helper()
	if os.Getenv(inside) == "" {
		t.Skip("a network namespace cannot be made here; the guest tests bring up a network of their own")
	}
}

// lan is the far end of a cable, in a namespace of its own.
type lan struct {
	t    *testing.T
	ns   netns.NsHandle
	jobs chan func()
	name string // of the interface there

	mu     sync.Mutex
	heard  []*dhcpv4.DHCPv4 // all that clients have sent
	answer func(*dhcpv4.DHCPv4) *dhcpv4.DHCPv4
}

// newLAN plugs a cable into an interface of this namespace.
func newLAN(t *testing.T, name string) *lan {
	t.Helper()
	needNamespace(t)
	l := &lan{t: t, jobs: make(chan func()), name: "far-" + name}
	ready, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			l.ns, err = netns.Get()
		}
		ready <- err
		for job := range l.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.ns.Close(); err != nil {
			t.Error(err)
		}
		close(l.jobs)
		<-ended
	})
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: l.name, PeerNamespace: netlink.NsFd(int(l.ns))}
	pair.Name = name
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(pair); err != nil {
			t.Error(err)
		}
	})
	l.do(func() error {
		link, err := netlink.LinkByName(l.name)
		if err != nil {
			return err
		}
		address, err := netlink.ParseAddr("10.9.0.1/24")
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(link, address), netlink.LinkSetUp(link))
	})
	return l
}

// do does something there.
func (l *lan) do(what func() error) {
	l.t.Helper()
	done := make(chan error)
	l.jobs <- func() { done <- what() }
	if err := <-done; err != nil {
		l.t.Fatal(err)
	}
}

// cable pulls the cable, or puts it in, and waits until the near end has noticed: a cable
// that is back sooner was never out.
func (l *lan) cable(in bool) {
	l.t.Helper()
	defer func() {
		for {
			near, err := netlink.LinkByName(strings.TrimPrefix(l.name, "far-"))
			if err != nil {
				l.t.Fatal(err)
			}
			if up := near.Attrs().OperState == netlink.OperUp; up == in {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}()
	l.do(func() error {
		link, err := netlink.LinkByName(l.name)
		if err != nil {
			return err
		}
		if in {
			return netlink.LinkSetUp(link)
		}
		return netlink.LinkSetDown(link)
	})
}

// answers changes what the server answers; nil: nothing.
func (l *lan) answers(how func(*dhcpv4.DHCPv4) *dhcpv4.DHCPv4) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = how
}

// serve starts a DHCP server there.
func (l *lan) serve() {
	l.t.Helper()
	var server *server4.Server
	l.do(func() (err error) {
		server, err = server4.NewServer(l.name, &net.UDPAddr{Port: 67}, func(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
			l.mu.Lock()
			l.heard = append(l.heard, m)
			var reply *dhcpv4.DHCPv4
			if l.answer != nil {
				reply = l.answer(m)
			}
			l.mu.Unlock()
			if reply == nil {
				return
			}
			to := net.Addr(&net.UDPAddr{IP: net.IPv4bcast, Port: 68})
			if m.ClientIPAddr != nil && !m.ClientIPAddr.IsUnspecified() {
				to = peer
			}
			_, _ = conn.WriteTo(reply.ToBytes(), to) // a client asks again
		})
		return err
	})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve() }() // it ends with its socket
	l.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			l.t.Error(err)
		}
		<-done
	})
}

// asked tells what clients have sent: "DISCOVER", "REQUEST 10.9.0.5".
func (l *lan) asked() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.heard {
		text := m.MessageType().String()
		if ip := m.RequestedIPAddress(); ip != nil && !ip.IsUnspecified() {
			text += " " + ip.String()
		}
		if ip := m.ClientIPAddr; ip != nil && !ip.IsUnspecified() {
			text += " at " + ip.String()
		}
		out = append(out, text)
	}
	return out
}

// give is a server that gives one address to all.
func give(address string, more ...dhcpv4.Modifier) func(*dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	return func(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		kind := dhcpv4.MessageTypeAck
		if m.MessageType() == dhcpv4.MessageTypeDiscover {
			kind = dhcpv4.MessageTypeOffer
		} else if asked := m.RequestedIPAddress(); asked != nil && !asked.IsUnspecified() && !asked.Equal(net.ParseIP(address)) {
			kind = dhcpv4.MessageTypeNak
		}
		reply, err := dhcpv4.NewReplyFromRequest(m, append([]dhcpv4.Modifier{
			dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(net.IPv4(10, 9, 0, 1)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 9, 0, 1))),
			dhcpv4.WithYourIP(net.ParseIP(address)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
			dhcpv4.WithRouter(net.IPv4(10, 9, 0, 1)), dhcpv4.WithLeaseTime(3600),
		}, more...)...)
		if err != nil {
			panic(fmt.Sprint("a reply of a test: ", err))
		}
		return reply
	}
}
