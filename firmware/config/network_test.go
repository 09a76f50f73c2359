package config

import (
	"strings"
	"testing"
)

// TestNetworkRefuses: what no machine can be called, or have, is refused with an example.
func TestNetworkRefuses(t *testing.T) {
	for file, want := range map[string]string{
		`hostname = "My Box"`:                 `network.hostname: "My Box": expected a name of lower-case letters`,
		`hostname = ""`:                       `expected a name of lower-case letters`,
		`hostname = "localhost"`:              `expected a name of lower-case letters`,
		`hostname = "-a"`:                     `expected a name of lower-case letters`,
		`hostname = "kitchen.local"`:          `expected a name of lower-case letters`,
		`hostname-from = "router"`:            `network.hostname-from: "router": expected`,
		`addresses = ["192.168.1.5"]`:         `network.addresses: "192.168.1.5": expected an address with the length of its network`,
		`addresses = ["192.168.1.5/33"]`:      `expected an address with the length`,
		`addresses = ["0.0.0.0/0"]`:           `expected an address with the length`,
		`addresses = ["224.0.0.1/24"]`:        `expected an address with the length`,
		`addresses = ["127.0.0.1/8"]`:         `expected an address with the length`,
		`addresses = ["eth 1 10.0.0.1/8"]`:    `expected an address with the length`,
		`addresses = ["../x 10.0.0.1/8"]`:     `expected an address with the length`,
		`addresses = ["::ffff:10.0.0.1/120"]`: `expected an address with the length`,
		`gateways = ["10.0.0.1/8"]`:           `network.gateways: "10.0.0.1/8": expected an address such as "192.168.1.1"`,
		`name-servers = ["dns.example"]`:      `network.name-servers: "dns.example": expected an address`,
		`name-servers = ["fe80::1%eth0"]`:     `expected an address`,
	} {
		if _, err := Parse("f", []byte("[network]\n"+file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}

func TestParseInterfaceAddress(t *testing.T) {
	for text, want := range map[string][2]string{
		"192.168.1.5/24":      {"", "192.168.1.5/24"},
		"eth1 10.0.0.5/8":     {"eth1", "10.0.0.5/8"},
		" eth1   fd00::5/64 ": {"eth1", "fd00::5/64"},
	} {
		name, prefix, err := ParseInterfaceAddress(text)
		if err != nil || name != want[0] || prefix.String() != want[1] {
			t.Errorf("%q: %q, %s, %v", text, name, prefix, err)
		}
		if _, err := Parse("f", []byte("network.addresses = [\""+text+"\"]")); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
