package config

import (
	"net"
	"path"
	"strings"
)

func clockKeys(c *Clock) []key {
	return []key{
		{"clock.verify",
			`When the clock must be verified before anything is fetched by itself: "auto" where there is reason to doubt it (a board that has no clock with a battery, and whose clock no other program keeps; or one that shows a time that is over), "always" or "never".`,
			`"always"`, choice(&c.Verify, func(v ClockVerify) string { return string(v) }, VerifyAuto, VerifyAlways, VerifyNever)},
		{"clock.servers",
			"Time servers (NTP) that are asked while the clock is in doubt, beside those that DHCP names. Each a host, or host:port.",
			`["ntp.example.org", "192.168.1.1"]`, list{&c.Servers, checkTimeServer, false, ", ", 16}},
		{"clock.web-servers",
			"Web servers whose Date is taken where no time server answers; of several, most must agree. In clear (http), since a certificate cannot be checked while the clock is wrong.",
			`["http://www.example.org/", "http://intranet.example.org/"]`, list{&c.WebServers, checkWebServer, false, "\n, ", 16}},
	}
}

func consoleKeys(c *Console) []key {
	return []key{
		{"console.ports",
			"Serial ports on which there is a console, with 115200 baud, 8N1; they may come and go. Empty: none.",
			`["/dev/ttyUSB0"]`, list{&c.Ports, checkDevice, false, "\n, ", 8}},
	}
}

func watchdogKeys(c *Watchdog) []key {
	return []key{
		{"watchdog.enabled",
			"Whether /dev/watchdog is opened, and kept quiet only while this box answers its own requests and can write its store; else the hardware restarts the machine. Where an init owns the device, leave it to that.",
			"true", boolean(&c.Enabled)},
	}
}

func modemKeys(c *Modem) []key {
	return []key{
		{"modem.port",
			"Serial port at which the modem takes commands, and that nobody else uses: often the second or third that it has. Empty: it is not asked. Where ModemManager runs, leave the modem to it.",
			`"/dev/ttyUSB2"`, text(&c.Port, func(s string) string {
				if s == "" {
					return ""
				}
				return checkDevice(s)
			})},
		{"modem.interface",
			"Interface of the network that the modem makes. What goes through it is counted for each month. Empty: it is not.",
			`"wwan0"`, text(&c.Interface, checkInterface)},
		{"modem.roaming",
			"Whether what nobody waits for is fetched while the modem is in a network that is not its own, which may be dear.",
			"true", boolean(&c.Roaming)},
	}
}

func checkInterface(s string) string {
	const most = 15 // IFNAMSIZ, with a byte for the end
	if len(s) > most || strings.ContainsAny(s, "/: \t") || s == "." || s == ".." || s != "" && !isPlain(s) {
		return `the name of an interface such as "wwan0"`
	}
	return ""
}

func stickKeys(c *Stick) []key {
	return []key{
		{"stick.folder",
			"Folder in which USB sticks are mounted when they are plugged in; that needs root, and confine.process = false, for a confined process may mount nothing. Empty: they are left alone.",
			`"/run/cheeseboard/sticks"`, text(&c.Folder, checkStickFolder)},
	}
}

func updateKeys(c *Update) []key {
	return []key{
		{"update.releases",
			"Address of the signed list of releases, which is asked once a day. What is not signed by whoever made the image is not installed, wherever it comes from. Empty: nobody is asked.",
			`"https://releases.example.org/cheeseboard/releases.json"`, text(&c.Releases, checkReleases)},
		{"update.automatic",
			"Whether a new version is fetched, installed and tried by itself. One that does not do well is given back within minutes.",
			"false", boolean(&c.Automatic)},
		{"update.hours",
			"Times, on the clock of this box, in which it may restart by itself into a new version, while nobody installs anything. Empty: at any time.",
			`["sat,sun 03:00-05:00"]`, list{&c.Hours, checkWindow, false, "\n", 0}},
	}
}

func checkReleases(s string) string {
	if u, ok := parseURL(s, "http", "https"); s != "" && (!ok || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return `an address such as "https://releases.example.org/cheeseboard/releases.json"`
	}
	return ""
}

func checkStickFolder(s string) string {
	if s != "" && (!path.IsAbs(s) || path.Clean(s) != s || s == "/") {
		return `an absolute path such as "/run/cheeseboard/sticks"`
	}
	return ""
}

func checkTimeServer(s string) string {
	host := s
	if h, _, err := net.SplitHostPort(s); err == nil {
		if checkListen(s) != "" {
			return `a host, or host:port, such as "ntp.example.org"`
		}
		host = h
	}
	if host == "" || !isHost(host) {
		return `a host, or host:port, such as "ntp.example.org"`
	}
	return ""
}

func checkWebServer(s string) string {
	if u, ok := parseURL(s, "http"); !ok || u.User != nil {
		return `an address in clear such as "http://www.example.org/"`
	}
	return ""
}

func checkDevice(s string) string {
	if !strings.HasPrefix(s, "/dev/") || path.Clean(s) != s || !isPlain(s) {
		return `the path of a device such as "/dev/ttyUSB0"`
	}
	return ""
}
