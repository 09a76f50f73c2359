package link

import (
	"maps"
	"strings"
	"testing"
)

func TestLookCarrier(t *testing.T) {
	nic := func(name, carrier, operstate string) map[string]string {
		m := map[string]string{
			"sys/class/net/" + name + "/operstate":     operstate + "\n",
			"sys/class/net/" + name + "/type":          "1\n",
			"sys/class/net/" + name + "/device/uevent": "",
		}
		if carrier != "" { // else it is switched off, and the file cannot be read
			m["sys/class/net/"+name+"/carrier"] = carrier + "\n"
		}
		return m
	}
	with := func(list ...map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range list {
			maps.Copy(out, m)
		}
		return out
	}
	file := func(path, text string) map[string]string { return map[string]string{"sys/class/net/" + path: text} }
	lo := with(file("lo/carrier", "1\n"), file("lo/operstate", "unknown\n"), file("lo/type", "772\n"))
	bridge := with(file("br0/carrier", "1\n"), file("br0/bridge/priority", "0\n"), file("br0/operstate", "up\n"))
	veth := with(file("veth1/carrier", "1\n"), file("veth1/operstate", "up\n"), file("veth1/type", "1\n"))
	ppp := with(file("ppp0/carrier", "1\n"), file("ppp0/operstate", "unknown\n"), file("ppp0/type", "512\n"))
	wireless := file("wlan0/phy80211/index", "0\n")
	for name, tc := range map[string]struct {
		tree  map[string]string
		known Known
		wifi  bool
	}{
		"no /sys":                        {nil, CannotTell, false},
		"loopback only":                  {lo, CannotTell, false},
		"plugged":                        {with(lo, nic("eth0", "1", "up")), Yes, false},
		"unplugged":                      {with(lo, nic("eth0", "0", "down")), No, false},
		"switched off":                   {with(lo, nic("eth0", "", "down")), No, false},
		"state only":                     {with(lo, nic("eth0", "", "up")), Yes, false},
		"it does not say":                {with(lo, nic("eth0", "", "unknown")), CannotTell, false},
		"unplugged, with containers":     {with(lo, nic("eth0", "0", "down"), bridge, veth), No, false},
		"unplugged, but Wi-Fi":           {with(nic("eth0", "0", "down"), nic("wlan0", "1", "up"), wireless), Yes, false},
		"unplugged, and no Wi-Fi":        {with(nic("eth0", "0", "down"), nic("wlan0", "0", "dormant"), wireless), No, false},
		"no socket, and no Wi-Fi":        {with(lo, nic("wlan0", "0", "down"), wireless), No, true},
		"unplugged, but dialled":         {with(nic("eth0", "0", "down"), ppp), Yes, false},
		"in a container":                 {with(lo, veth), Yes, false},
		"in a container, without a peer": {with(lo, file("eth0/carrier", "0\n"), file("eth0/type", "1\n")), CannotTell, false},
		"a bridge only":                  {with(lo, bridge), CannotTell, false},
	} {
		root := t.TempDir()
		writeTree(t, root, tc.tree)
		if o := LookCarrier(root); o.About != Carrier || !o.Probe || o.Known != tc.known || o.Wireless != tc.wifi {
			t.Errorf("%s: %+v, want %d, Wi-Fi %t", name, o, tc.known, tc.wifi)
		}
	}
}

func TestLookRoute(t *testing.T) {
	const (
		reject6  = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
		default6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n"
		lan6     = "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
		local6   = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001     eth0\n"
		halves   = "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\ntun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
		rejected = "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n"
	)
	for name, tc := range map[string]struct {
		four, six, host string
		known           Known
	}{
		"a gateway":                     {routeHead + routeDefault + routeLAN, reject6 + lan6, "pypi.org", Yes},
		"a gateway of IPv6 only":        {routeHead + routeLAN, reject6 + lan6 + default6, "pypi.org", Yes},
		"a tunnel in two halves":        {routeHead + halves, "", "pypi.org", Yes},
		"the local network only":        {routeHead + routeLAN, reject6 + lan6 + local6, "pypi.org", No},
		"nothing":                       {routeHead, reject6 + local6, "pypi.org", No},
		"a route that refuses":          {routeHead + rejected + routeLAN, reject6, "pypi.org", No},
		"a box of the local network":    {routeHead + routeLAN, reject6, "cheese.local", CannotTell},
		"a name without a dot":          {routeHead + routeLAN, reject6, "mirror", CannotTell},
		"a box, and no network at all":  {routeHead, reject6, "cheese.local", No},
		"an address of the network":     {routeHead + routeLAN, reject6, "192.168.1.9", Yes},
		"an address of IPv6":            {routeHead, lan6, "fd00::9", Yes},
		"an address elsewhere":          {routeHead + routeLAN, reject6 + lan6, "192.0.2.7", No},
		"the wrong family":              {routeHead + routeLAN, reject6 + default6, "192.0.2.7", No},
		"lines that cannot be read":     {"x\n" + strings.Repeat("z ", 12) + "\n" + routeLAN, strings.Repeat("z ", 12) + "\nzz", "pypi.org", No},
		"a mapped address of a network": {routeHead + routeLAN, "", "::ffff:192.168.1.9", Yes},
	} {
		root := t.TempDir()
		writeTree(t, root, map[string]string{"proc/net/route": tc.four, "proc/net/ipv6_route": tc.six})
		if o := LookRoute(root, tc.host); o.About != Route || !o.Probe || o.Known != tc.known {
			t.Errorf("%s: %d, want %d", name, o.Known, tc.known)
		}
	}
	if o := LookRoute(t.TempDir(), "pypi.org"); o.Known != CannotTell {
		t.Errorf("without /proc: %d", o.Known)
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add(routeHead + routeDefault)
	f.Fuzz(func(t *testing.T, table string) {
		for _, p := range append(routes4([]byte(table)), routes6([]byte(table))...) {
			if !p.IsValid() {
				t.Errorf("%q gives a route that is none", table)
			}
		}
	})
}
