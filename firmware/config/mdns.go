package config

// MDNS is the [mdns] table: whether the box makes its name known itself.
type MDNS struct {
	Announce Announce
}

// Announce says when the box makes its name known.
type Announce string

// The values of an Announce.
const (
	AnnounceAuto   Announce = "auto" // where an init of ours has started it
	AnnounceAlways Announce = "always"
	AnnounceNever  Announce = "never"
)

func mdnsKeys(c *MDNS) []key {
	return []key{
		{"mdns.announce",
			`When the box says its name itself: "auto" on the card image only, for elsewhere another program (avahi, systemd-resolved) does so already; "always" or "never". Where the name belongs to another machine the box takes NAME-xxxx, and keeps it.`,
			`"always"`, choice(&c.Announce, func(v Announce) string { return string(v) }, AnnounceAuto, AnnounceAlways, AnnounceNever)},
	}
}
