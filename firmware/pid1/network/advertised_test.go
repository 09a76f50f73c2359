package network

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestRenumberedEachNight: servers that routers told of and that hold no more make room
// for others.
func TestRenumberedEachNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Settings: Settings{Hostname: "kitchen"}, Root: t.TempDir()})
		for night := range byte(2 * mostOf) {
			server := netip.AddrFrom16([16]byte{0xfd, 15: night + 1})
			m.advertise(1, []netip.Addr{server}, time.Hour)
			m.mu.Lock()
			known := m.v6DNS[1].servers()
			m.mu.Unlock()
			if len(known) != 1 || known[0] != server {
				t.Fatalf("after %d nights %v are known, want %v", night, known, server)
			}
			time.Sleep(2 * time.Hour)
		}
	})
}
