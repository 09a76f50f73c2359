package pid1

import (
	"testing"

	"cheeseboard/firmware/config"
)

func TestWithoutTable(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":  {"", ""},
		"no table": {"[serve]\nlisten = \":80\"\n", "[serve]\nlisten = \":80\"\n"},
		"between others": {
			"data = \"/x\"\n[serve]\nname = \"a\"\n\n[network] # mine\nhostname = \"b\"\n# a remark\naddresses = [\n  \"10.0.0.1/8\",\n]\n\n[sync]\nlatest = 2\n",
			"data = \"/x\"\n[serve]\nname = \"a\"\n\n# [network] # mine\n# hostname = \"b\"\n# a remark\n# addresses = [\n#   \"10.0.0.1/8\",\n# ]\n\n[sync]\nlatest = 2\n",
		},
		"of Windows, dotted, without an end": {
			"network.hostname = \"b\"\r\nnetworks = 1\r\n[serve]\r\nnetwork.x = 1\r\n[network]\r\nhostname = \"b\"",
			"# network.hostname = \"b\"\r\nnetworks = 1\r\n[serve]\r\nnetwork.x = 1\r\n# [network]\r\n# hostname = \"b\"",
		},
	} {
		if got := string(withoutTable([]byte(c.in), "network")); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// Whatever is set for the network, a reset brings the defaults, and leaves all else.
func FuzzWithoutTable(f *testing.F) {
	f.Add([]byte("[serve]\nlisten = \":80\"\n[network]\naddresses = [\"10.0.0.1/8\"]\n[sync]\nlatest = 2"))
	f.Add(config.Render(config.Default()))
	f.Fuzz(func(t *testing.T, text []byte) {
		before, err := config.Parse("f", text)
		if err != nil {
			return
		}
		after, err := config.Parse("f", withoutTable(text, "network"))
		if err != nil {
			return // a text of several lines may look like a table
		}
		if len(after.Network.Addresses) > len(before.Network.Addresses) || after.Sync.Latest != before.Sync.Latest {
			t.Errorf("%q", text)
		}
	})
}
