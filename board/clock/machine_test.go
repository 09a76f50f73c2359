package clock

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestLook(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if f := Look(root); f.Board || !f.RTC.IsZero() {
		t.Errorf("an empty machine: %+v", f)
	}
	write("sys/class/rtc/rtc0/since_epoch", "1795000000\n")
	write("sys/firmware/devicetree/base/model", "Raspberry Pi 3 Model B\x00")
	if f := Look(root); !f.Board || !f.RTC.Equal(time.Unix(1795000000, 0)) {
		t.Errorf("a board: %+v", f)
	}
	write("sys/class/rtc/rtc0/since_epoch", "noise")
	if f := Look(root); !f.RTC.IsZero() {
		t.Errorf("noise: %+v", f)
	}
	write("run/systemd/netif/leases/2", "ADDRESS=192.168.1.7\nNTP=192.168.1.1 not-an-address\nDNS=192.168.1.9\n")
	write("var/lib/dhcp/dhclient.eth0.leases", "lease {\n  option ntp-servers 192.168.1.1,10.0.0.5;\n  option routers 10.9.9.9;\n}\n")
	if got := LeaseServers(root); !slices.Equal(got, []string{"10.0.0.5", "192.168.1.1"}) {
		t.Errorf("%v", got)
	}
}
