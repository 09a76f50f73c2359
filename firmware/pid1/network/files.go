package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cheeseboard/storage/durable"
)

// mostServers is how many servers for names are asked: a resolver reads no more.
const mostServers = 3

// leases is where board/clock looks for the time servers that DHCP names
// (clock.LeaseServers), in the manner of systemd-networkd.
const leases = "run/systemd/netif/leases"

// write writes what others read of the network: resolv.conf(5), hosts(5), and which
// time servers DHCP names. A file that is right already is left alone.
func (m *Manager) write() error {
	m.writing.Lock() // the later state is to be written later
	defer m.writing.Unlock()
	m.mu.Lock()
	name := m.hostname()
	files := map[string]string{
		"etc/resolv.conf": m.resolvConf(),
		"etc/hostname":    name + "\n",
		"etc/hosts":       fmt.Sprintf("127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n", name),
	}
	for index, p := range m.ports {
		if text := timeServers(p.terms.NTP); text != "" {
			files[filepath.Join(leases, fmt.Sprint(index))] = text
		}
	}
	m.mu.Unlock()
	// The folder must be there when the program starts, which can read only what is there then.
	errs := []error{os.MkdirAll(filepath.Join(m.o.Root, leases), 0o755)}
	for path, text := range files {
		errs = append(errs, replace(filepath.Join(m.o.Root, path), text))
	}
	old, err := filepath.Glob(filepath.Join(m.o.Root, leases, "*"))
	for _, path := range old {
		if rel, err := filepath.Rel(m.o.Root, path); err == nil && files[rel] == "" {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(append(errs, err)...)
}

func replace(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return (&durable.Disk{}).WriteFile(path, []byte(text), 0o644)
}

// resolvConf says who is asked for names: whom the settings name, else whom DHCP and
// routers do, those of the best interface first. Under the lock.
func (m *Manager) resolvConf() string {
	var servers []string
	var search []string
	add := func(list []netip.Addr, zone string) {
		for _, a := range list {
			if a.IsLinkLocalUnicast() && a.Is6() {
				a = a.WithZone(zone)
			}
			if !slices.Contains(servers, a.String()) {
				servers = append(servers, a.String())
			}
		}
	}
	add(m.o.DNS, "")
	for _, p := range m.inOrder() {
		told := m.v6DNS[p.link.Attrs().Index]
		if len(m.o.DNS) == 0 {
			add(p.terms.DNS, p.name)
			add(told.servers(), p.name)
		}
		for _, domain := range p.terms.Search {
			if !slices.Contains(search, domain) {
				search = append(search, domain)
			}
		}
	}
	var b strings.Builder
	b.WriteString("# written by init\n")
	for _, s := range servers[:min(len(servers), mostServers)] {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search[:min(len(search), mostOf)], " "))
	}
	b.WriteString("options timeout:2 attempts:2\n")
	return b.String()
}

// timeServers is a lease as far as it tells of time servers.
func timeServers(servers []netip.Addr) string {
	if len(servers) == 0 {
		return ""
	}
	var words []string
	for _, a := range servers {
		words = append(words, a.String())
	}
	return "NTP=" + strings.Join(words, " ") + "\n"
}
