// Package network gives an appliance its network: each interface an address by DHCP, a
// link-local one where nobody answers, or those that the settings name; routes, names,
// and where the time is asked for. IPv6 is the kernel's, by what routers advertise; what
// they say of names is taken here.
package network

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Settings are what a person has set. The zero value, with a Hostname, is DHCP on all
// interfaces.
type Settings struct {
	Hostname string // what this machine calls itself; required
	TakeName bool   // a name that DHCP gives counts for more
	// Static are addresses that an interface has instead of asking by DHCP.
	Static   []Static
	Gateways []netip.Addr // of Static; at most one of each family counts
	DNS      []netip.Addr // instead of those that are told; none: those
}

// Static is an address of an interface.
type Static struct {
	Interface string // "": the first that has a cable
	Prefix    netip.Prefix
}

// From says where an address comes from.
type From string

// The values of a From.
const (
	FromDHCP      From = "dhcp"
	FromStatic    From = "static"
	FromLinkLocal From = "link-local"
	FromRouter    From = "router" // IPv6, as a router advertises it
)

// Address is one that an interface has.
type Address struct {
	Interface string
	Addr      netip.Addr
	From      From
}

// State is how the network is.
type State struct {
	Hostname  string
	Addresses []Address // those of loopback and those that every interface has are left out
	Routed    bool      // there is a way out of the link
}

// Options are what a Manager is built from.
type Options struct {
	Settings
	Root    string      // below which etc and run are; "": /
	Changed func(State) // is told each change; nil: nobody is. It must be quick
	Log     *slog.Logger
}

// Manager keeps the network. Its methods may be called concurrently.
type Manager struct {
	o Options

	writing sync.Mutex // held while files are written

	mu    sync.Mutex
	ports map[int]*port  // by the index of the interface
	taken map[string]int // static addresses for the first that has a cable: which that is
	state State
	v6DNS map[int]advertised
}

// New makes a Manager; Run has it work.
func New(o Options) *Manager {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{o: o, ports: make(map[int]*port), taken: make(map[string]int), v6DNS: make(map[int]advertised), state: State{Hostname: o.Hostname}}
}

// State tells how the network is.
func (m *Manager) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.Addresses = slices.Clone(s.Addresses)
	return s
}

// settle is how long after a change others are waited for before files are written:
// an interface that comes up brings several.
const settle = 50 * time.Millisecond

// Run keeps the network until ctx ends. Addresses stay as they are then.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.write(); err != nil {
		m.o.Log.Warn("the names of this machine could not be written", "reason", err)
	}
	done := make(chan struct{})
	defer close(done)
	links, addresses := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)
	lost := make(chan error, 2)
	tell := func(err error) {
		select {
		case lost <- err:
		default: // told already
		}
	}
	err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ListExisting: true, ErrorCallback: tell})
	if err != nil {
		return fmt.Errorf("listen for interfaces: %w", err)
	}
	if err := netlink.AddrSubscribeWithOptions(addresses, done, netlink.AddrSubscribeOptions{ErrorCallback: tell}); err != nil {
		return fmt.Errorf("listen for addresses: %w", err)
	}
	var work sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		work.Wait()
		for _, p := range m.ports { // nobody else changes them now
			p.stop = nil
		}
	}()
	work.Go(func() { m.followAdvertisements(ctx) })
	look := time.NewTicker(30 * time.Second) // whatever was missed is seen then
	defer look.Stop()
	changed := time.NewTimer(0)
	defer changed.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return fmt.Errorf("listen for interfaces: %w", err)
		case u := <-links:
			if u.Header.Type == unix.RTM_DELLINK {
				m.gone(int(u.Index))
			} else {
				m.see(ctx, &work, u.Link)
			}
			changed.Reset(settle)
		case <-addresses:
			changed.Reset(settle)
		case <-look.C:
			changed.Reset(0)
		case <-changed.C:
			m.survey()
		}
	}
}

// see looks at an interface: it is brought up, and worked with while it has a cable.
func (m *Manager) see(ctx context.Context, work *sync.WaitGroup, link netlink.Link) {
	a := link.Attrs()
	if a.EncapType == "loopback" {
		if a.RawFlags&unix.IFF_UP == 0 {
			m.up(link)
		}
		return
	}
	if a.EncapType != "ether" || a.MasterIndex != 0 {
		return
	}
	if a.RawFlags&unix.IFF_UP == 0 {
		m.up(link) // the kernel tells of the change
		return
	}
	carrier := a.RawFlags&unix.IFF_LOWER_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0
	m.mu.Lock()
	p := m.ports[a.Index]
	if p == nil {
		p = m.newPort(link)
		m.ports[a.Index] = p
		p.leaveDeadRoutes()
	}
	m.mu.Unlock()
	switch {
	case carrier && p.stop == nil:
		m.o.Log.Info("an interface has a cable", "interface", a.Name)
		p.start(ctx, work)
	case !carrier && p.stop != nil:
		m.o.Log.Info("an interface has no cable any more", "interface", a.Name)
		p.end()
	}
}

func (m *Manager) up(link netlink.Link) {
	if err := netlink.LinkSetUp(link); err != nil {
		m.o.Log.Warn("an interface does not come up", "interface", link.Attrs().Name, "reason", err)
	}
}

func (m *Manager) gone(index int) {
	m.mu.Lock()
	p := m.ports[index]
	delete(m.ports, index)
	delete(m.v6DNS, index)
	for prefix, at := range m.taken {
		if at == index {
			delete(m.taken, prefix)
		}
	}
	m.mu.Unlock()
	if p != nil && p.stop != nil {
		p.end()
	}
}

// static gives the addresses of an interface that the settings name.
func (m *Manager) static(name string, index int) (out []netip.Prefix) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.o.Static {
		if s.Interface == "" {
			key := s.Prefix.String()
			if at, ok := m.taken[key]; ok && at != index {
				continue
			}
			m.taken[key] = index
		} else if s.Interface != name {
			continue
		}
		out = append(out, s.Prefix)
	}
	return out
}

// survey sees what the interfaces have now, writes the files that follow from it, and
// tells.
func (m *Manager) survey() {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		m.o.Log.Debug("addresses could not be listed", "reason", err)
		return
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		m.o.Log.Debug("routes could not be listed", "reason", err)
	}
	m.mu.Lock()
	s := State{Hostname: m.hostname()}
	for _, a := range list {
		if found, ok := m.address(a); ok {
			s.Addresses = append(s.Addresses, found)
		}
	}
	s.Routed = slices.ContainsFunc(routes, func(r netlink.Route) bool {
		ones := 0
		if r.Dst != nil {
			ones, _ = r.Dst.Mask.Size()
		}
		return r.Gw != nil && ones == 0
	})
	slices.SortFunc(s.Addresses, func(a, b Address) int {
		if c := strings.Compare(a.Interface, b.Interface); c != 0 {
			return c
		}
		return a.Addr.Compare(b.Addr)
	})
	same := slices.Equal(s.Addresses, m.state.Addresses) && s.Hostname == m.state.Hostname && s.Routed == m.state.Routed
	m.state = s
	m.mu.Unlock()
	if err := m.write(); err != nil {
		m.o.Log.Warn("what the network says of names could not be written", "reason", err)
	}
	if !same && m.o.Changed != nil {
		m.o.Changed(m.State())
	}
}

// address says what is known of an address that an interface has; false where it is of
// no use to others. Under the lock.
func (m *Manager) address(a netlink.Addr) (Address, bool) {
	addr, ok := netip.AddrFromSlice(a.IP)
	if addr = addr.Unmap(); !ok || addr.IsLoopback() || addr.Is6() && addr.IsLinkLocalUnicast() {
		return Address{}, false
	}
	if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0 {
		return Address{}, false // somebody else may have it
	}
	p := m.ports[a.LinkIndex]
	if p == nil {
		return Address{}, false
	}
	from := FromDHCP
	switch {
	case slices.ContainsFunc(p.static, func(s netip.Prefix) bool { return s.Addr() == addr }):
		from = FromStatic
	case addr.Is6():
		from = FromRouter
	case linkLocal.Contains(addr):
		from = FromLinkLocal
	}
	return Address{p.name, addr, from}, true
}

// hostname is what this machine is called. Under the lock.
func (m *Manager) hostname() string {
	if m.o.TakeName {
		for _, p := range m.inOrder() {
			if p.terms.Name != "" {
				return p.terms.Name
			}
		}
	}
	return m.o.Hostname
}

// inOrder lists the interfaces, the best first. Under the lock.
func (m *Manager) inOrder() []*port {
	var out []*port
	for _, p := range m.ports {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *port) int { return a.metric - b.metric })
	return out
}
