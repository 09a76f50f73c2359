package config

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// key is one key of the file, bound to a field of one Config.
type key struct {
	path    string // "sync.interval"
	comment string // what it means to the person who sets it, in plain sentences
	example string // another value than the default, as TOML
	setting
}

// table is one [table] of the file.
type table struct {
	name, comment string
}

// tables lists the tables in the order in which they are printed.
func tables() []table {
	return []table{
		{"serve", "How the computers of the LAN reach this box."},
		{"network", "How this box is reached on the network. Only the card image goes by it: elsewhere the system has its own settings, and the name is the machine's."},
		{"mdns", "Being found: the box says its name, NAME.local, and its page on the networks that it is in (Multicast DNS). NAME is that of serve.name where it ends with .local, else the machine's."},
		{"upstream", "The index that is mirrored, and the way to it."},
		{"line", "What the way to upstream may be used for. What somebody waits for goes first, and at any time."},
		{"pull", "What happens when something is asked for that is not here."},
		{"policy", "What is neither given out nor fetched, whatever upstream has. Pages say what is left out, and why."},
		{"tls", "Encryption on the LAN: https, beside http."},
		{"private", "Packages of your own, which are uploaded here."},
		{"access", "Who may do what."},
		{"limits", "What clients can hold of this box. The defaults are for a class behind one router and a board with 512 MB."},
		{"confine", "What a box that serves can reach of its machine."},
		{"clock", "How a box without a battery comes to know what time it is. Its clock is never set back."},
		{"console", "The console on a serial line: status, sync, logs, shutting down."},
		{"watchdog", "The watchdog of the hardware, which restarts a machine that hangs."},
		{"led", "The light that says how the box is."},
		{"button", "The button: press it once, and the light says which box this is; twice, and it syncs; hold it for 5 s, and the box ends; for 15 s, and its network settings and passphrase begin anew."},
		{"modem", "An LTE modem that is the way to upstream: it is asked, and never told to dial."},
		{"stick", "USB sticks that are plugged in."},
		{"update", "New versions of the whole box, where it was started from our image. Other systems have their own packages."},
		{"sync", "What this box holds before anyone asks for it."},
		{"storage", "How the disk is used."},
		{"log", "What is written to standard error."},
	}
}

const (
	second = Duration(time.Second)
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)
	year   = 365 * 24 * hour
)

// indexPath is the key of several tables, written as [[index]].
const indexPath = "index"

// keysOf lists every key in the order in which they are printed, table by
// table, bound to the fields of c. It is the one place that knows the keys:
// their names, meanings, bounds and examples.
func keysOf(c *Config) []key {
	return slices.Concat(
		[]key{{"data",
			"Folder that holds everything: metadata, packages, state. Relative paths count from the current folder.",
			`"/srv/cheeseboard"`, text(&c.Data, checkFolder)},
			{indexPath,
				"Other indexes than that of [upstream], each as a table [[index]]: a name, under which it stands at /NAME/simple/, its url, and the projects that come from there and from nowhere else (* stands for anything). What no index claims comes from [upstream].",
				`[{name="corp", url="http://pkg.example/", projects=["corp-*"]}]`, indexes{&c.Index}}},
		serveKeys(&c.Serve), networkKeys(&c.Network), mdnsKeys(&c.MDNS), upstreamKeys(&c.Upstream), lineKeys(&c.Line), pullKeys(&c.Pull), policyKeys(&c.Policy), tlsKeys(&c.TLS), privateKeys(&c.Private), accessKeys(&c.Access), limitKeys(&c.Limits), confineKeys(&c.Confine),
		clockKeys(&c.Clock), consoleKeys(&c.Console), watchdogKeys(&c.Watchdog), modemKeys(&c.Modem), stickKeys(&c.Stick), updateKeys(&c.Update), ledKeys(&c.LED), buttonKeys(&c.Button),
		selectionKeys(&c.Sync), syncKeys(&c.Sync), storageKeys(&c.Storage), logKeys(&c.Log),
	)
}

func serveKeys(c *Serve) []key {
	return []key{
		{"serve.listen",
			"Address and port to listen on. Without an address: all of them, IPv4 and IPv6. Port 0 picks a free one.",
			`"192.168.1.5:80"`, text(&c.Listen, checkListen)},
		{"serve.name",
			"Host name or address under which the LAN reaches this box, printed in the hints for pip and uv. Empty: derived from the network.",
			`"cheeseboard.local"`, text(&c.Name, checkHostName)},
	}
}

func upstreamKeys(c *Upstream) []key {
	return []key{
		{"upstream.url",
			"Simple index to mirror (PEP 503, PEP 691): any index, or another cheeseboard. Empty: PyPI.",
			`"https://packages.example.org/simple/"`, text(&c.URL, checkUpstreamURL)},
		{"upstream.mirrors",
			"Other simple indexes that have the same files: a mirror, another cheeseboard. They are asked for bytes only, in this order, from the byte where the upstream's host of files gave up; what is right the upstream says. They are reached through the same proxy, and their bytes count for [line] too.",
			`["http://other-box.local/simple/"]`, list{&c.Mirrors, checkMirrorURL, false, "\n, ", MaxMirrors}},
		{"upstream.proxy",
			"Proxy on the way to upstream; it may hold a user and a password. Empty: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.",
			`"http://proxy.example.org:3128"`, text(&c.Proxy, checkProxy)},
		{"upstream.ca-file",
			"PEM file with certificates to trust besides those of the system, for proxies that open TLS. Empty: none.",
			`"/etc/ssl/school.pem"`, text(&c.CAFile, anyText)},
		{"upstream.contact",
			"How the operator of upstream can reach you; sent in the User-Agent. Empty: not sent.",
			`"it@example.org"`, text(&c.Contact, checkContact)},
		{"upstream.connect-timeout",
			"Duration after which an attempt to connect is given up.",
			`"5s"`, duration(&c.ConnectTimeout, second/10, 10*minute)},
		{"upstream.stall-timeout",
			"Duration without a single byte after which a transfer is broken off and resumed. There is no limit on a whole transfer.",
			`"1m"`, duration(&c.StallTimeout, second, hour)},
	}
}

func pullKeys(c *Pull) []key {
	return []key{
		{"pull.enabled",
			"Whether projects and files that are not here are fetched when somebody asks for them.",
			"false", boolean(&c.Enabled)},
		{"pull.fresh",
			"Duration for which a project page is served without asking upstream whether it changed.",
			`"1h"`, duration(&c.Fresh, 0, year)},
		{"pull.wait",
			"Duration for which a LAN client waits for a sign of life from upstream before it gets what is here.",
			// pip gives up after 15 s; what comes close to that is no answer.
			`"500ms"`, duration(&c.Wait, 0, 10*second)},
	}
}

func lineKeys(c *Line) []key {
	return []key{
		{"line.rate",
			"Bytes per second that are taken from the line at most. 0: as fast as it goes.",
			`"50KB"`, size(&c.Rate, 0, 1000*gigabyte)},
		{"line.windows",
			"Times, on the clock of this box, in which what nobody waits for is fetched. Empty: always.",
			`["22:00-06:00", "sat,sun 12:00-20:00"]`, list{&c.Windows, checkWindow, false, "\n", 0}},
		{"line.monthly-cap",
			"Bytes per calendar month that are taken from the line at most; the last tenth is kept for what somebody waits for. 0: no cap.",
			`"5GB"`, size(&c.MonthlyCap, 0, 1000*terabyte)},
	}
}

// selectionKeys say what is held, syncKeys how it is brought here.
func selectionKeys(c *Sync) []key {
	return []key{
		{"sync.projects",
			"Requirements (PEP 508) to hold, with extras and versions as for pip.",
			`["numpy>=2,<3", "uvicorn[standard]"]`,
			list{&c.Projects, checkRequirement, false, "\n", 0}},
		{"sync.dependencies",
			"Whether what the selected releases depend on (Requires-Dist) is held too.",
			"false", boolean(&c.Dependencies)},
		{"sync.latest",
			"Number of the newest releases to hold for each requirement. 0: all of them.",
			"3", integer(&c.Latest, 0, 1_000_000)},
		{"sync.prereleases",
			"Whether pre-releases count as releases even where a requirement does not ask for them.",
			"true", boolean(&c.Prereleases)},
		{"sync.sdists",
			`Whether source distributions are held: "always", "never", or "when-no-wheel" for releases without a wheel that fits.`,
			`"never"`, choice(&c.SDists, func(p SDistPolicy) string { return string(p) },
				SDistsAlways, SDistsNever, SDistsWhenNoWheel)},
		{"sync.python",
			"Python versions that the LAN uses.",
			`["3.12", "3.13"]`, list{&c.Python, checkPython, true, ", ", 0}},
		{"sync.platforms",
			`Platforms that the LAN uses. Wheels for every platform ("any") are held in any case.`,
			`["linux-x86_64", "linux-armv7l"]`, list{&c.Platforms, checkPlatform, true, ", ", 0}},
	}
}

func syncKeys(c *Sync) []key {
	return []key{
		{"sync.interval",
			"Duration between two looks at upstream for news.",
			`"24h"`, duration(&c.Interval, minute, year)},
		{"sync.connections",
			"Most requests that are under way at the same time. How many of them, and of connections, the line carries is found out: few on a weak line, many on a long way.",
			"16", integer(&c.Connections, 1, 256)},
		{"sync.max-file-size",
			"Size above which a file is not mirrored.",
			`"500MB"`, size(&c.MaxFileSize, 1, Size(pypi.MaxFileSize))},
		{"sync.removal-guard",
			"Fraction of what is held: an answer from upstream that would remove more than this is refused, since it is rather a fault than the truth. 1: never refuse.",
			"0.25", fraction(&c.RemovalGuard)},
		{"sync.names",
			"Whether the names of all projects of upstream are fetched, once a month: of PyPI some 10 to 40 MB. Then a client that asks for a name that does not exist is told so while the line is down.",
			"true", boolean(&c.Names)},
		{"sync.pages",
			"Whether the pages of all projects of upstream are kept, without their files: of PyPI some 1.3 GB, which take days to fetch and a 64-bit program to hold. Needs sync.names.",
			"true", boolean(&c.Pages)},
	}
}

func tlsKeys(c *TLS) []key {
	return []key{
		{"tls.address",
			"Address and port for https, beside http. Empty: there is none.",
			`":8443"`, text(&c.Address, checkListenOrNone)},
		{"tls.certificate",
			"PEM file with the certificate, and those between it and its root behind it; it is read again when it changes. Empty: the box makes an authority of its own, whose root certificate stands at /ca.crt for those who trust it.",
			`"/etc/ssl/box.pem"`, text(&c.Certificate, anyText)},
		{"tls.key",
			"PEM file with the private key of tls.certificate.",
			`"/etc/ssl/private/box.key"`, text(&c.Key, anyText)},
	}
}

func accessKeys(c *Access) []key {
	return []key{
		{"access.read",
			`Who may read the index and its files: "everybody", or "token" for those who show one (cheeseboard token add --read).`,
			`"token"`, choice(&c.Read, func(r ReadAccess) string { return string(r) }, ReadEverybody, ReadToken)},
		{"access.admin",
			"Whether there is administration at /admin/, for those who know the passphrase (cheeseboard passphrase).",
			"false", boolean(&c.Admin)},
	}
}

func limitKeys(c *Limits) []key {
	return []key{
		{"limits.connections",
			"Connections that may be open at once, for http and as many for https. One more takes the place of the one that has been waiting longest for a request.",
			"512", integer(&c.Connections, MinConnections, 65536)},
		{"limits.connections-per-address",
			"How many of them one address may have; of IPv6, one network (/64), if it is not the box's own. All computers behind a router that translates addresses, as in many classrooms, are one.",
			"128", integer(&c.ConnectionsPerAddress, MinConnections, 65536)},
		{"limits.header-size",
			"Bytes that the head of a request may have.",
			`"64KiB"`, size(&c.HeaderSize, 4<<10, megabyte)},
		{"limits.header-timeout",
			"Duration within which the head of a request must come.",
			`"30s"`, duration(&c.HeaderTimeout, second, 5*minute)},
		{"limits.idle-timeout",
			"Duration for which a connection may wait for its next request.",
			`"30s"`, duration(&c.IdleTimeout, second, hour)},
		{"limits.send-timeout",
			"Duration within which a client must take a megabyte (1 MiB) of an answer; a slow radio link needs more.",
			`"5m"`, duration(&c.SendTimeout, 5*second, hour)},
		{"limits.upload-timeout",
			"Duration without a byte after which an upload is given up. What one may have in all says private.max-file-size.",
			`"1m"`, duration(&c.UploadTimeout, second, 10*minute)},
	}
}

func confineKeys(c *Confine) []key {
	return []key{
		{"confine.process",
			"Whether a box that serves gives up what it does not need of the file system, where the kernel has Landlock: whoever takes it over reaches the data folder, and little else.",
			"false", boolean(&c.Process)},
		{"confine.move-to",
			"Folders, beside the data folder, that it can write all the same: there cheeseboard move can move to while the box serves.",
			`["/mnt/usb"]`, list{&c.MoveTo, checkFolder, false, "\n, ", 100}},
	}
}

func privateKeys(c *Private) []key {
	return []key{
		{"private.names",
			"Names of projects that are yours, each * for any run of characters. They can be uploaded here (twine, uv publish; see cheeseboard token), no upstream is ever asked for them, and nothing else can be uploaded: so nobody can slip you a package of the same name.",
			`["acme-*", "our-tools"]`, list{&c.Names, checkNamePattern, false, ", ", 1000}},
		{"private.max-file-size",
			"Size above which an uploaded file is refused.",
			`"200MB"`, size(&c.MaxFileSize, 1, 4*gigabyte-1)},
	}
}

func policyKeys(c *Policy) []key {
	return []key{
		{"policy.min-age",
			"Duration since its upload after which a file is given out: most malicious releases are found within days. What states no time of upload is held back. 0: at once.",
			`"168h"`, duration(&c.MinAge, 0, 10*year)},
		{"policy.block",
			"What is never given out: projects, versions of them, or files by digest, each with a reason behind a #, which is shown to those who ask.",
			`["reqeusts # typosquat", "numpy==2.0.1 # wrong results"]`,
			list{&c.Block, checkBlock, false, "\n", 0}},
		{"policy.allow",
			"Projects, or versions of them, for which policy.min-age does not hold: a release that mends a hole, or names of your own, in which * may stand for anything.",
			`["requests==2.32.4 # CVE-2024-47081", "corp-*"]`,
			list{&c.Allow, checkAllow, false, "\n", 0}},
	}
}

func storageKeys(c *Storage) []key {
	return []key{
		{"storage.reserve",
			"Free space on the disk that is never used.",
			`"1GiB"`, size(&c.Reserve, 0, 1000*terabyte)},
		{"storage.cache",
			"Bytes of files that may be kept because clients asked for them, beside what sync.projects holds. When there are more, those that are worth least go. 0: all but the reserve.",
			`"20GB"`, size(&c.Cache, 0, 1000*terabyte)},
		{"storage.scrub-rate",
			"Bytes per second that are read in the background to see whether the disk still has what was written, while nobody installs. What it has changed is fetched again. 0: not.",
			`"4MB"`, size(&c.ScrubRate, 0, 1000*gigabyte)},
		{"storage.scrub-interval",
			"Duration between the beginnings of two such readings of everything.",
			`"720h"`, duration(&c.ScrubInterval, hour, 10*year)},
	}
}

func logKeys(c *Log) []key {
	return []key{
		{"log.level",
			`Least level that is logged: "debug", "info", "warn" or "error".`,
			`"debug"`, choice(&c.Level, func(l slog.Level) string { return strings.ToLower(l.String()) },
				slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError)},
		{"log.format",
			`"text" for people, "json" for programs.`,
			`"json"`, choice(&c.Format, func(f LogFormat) string { return string(f) }, LogText, LogJSON)},
	}
}

// set is that of the setting, with the example of the key in what was expected.
func (k key) set(v value) []fault {
	faults := k.setting.set(v)
	for i, f := range faults {
		if strings.HasSuffix(f.want, suchAs) {
			faults[i].want += k.example
		}
	}
	return faults
}

// variable is the name of the key in the environment.
func (k key) variable() string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(k.path))
}

// paths lists the names of the keys.
func paths(keys []key) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.path
	}
	return names
}
