package config

import (
	"log/slog"
	"time"
)

// Config is everything that can be set. The zero value is not usable; begin
// with Default. What each key means to the person who sets it stands in keysOf;
// the comments here say what a value looks like to the code that reads it.
//
// Every value that came through this package has been checked, so a reader need
// not check again. Copies share their lists, which nobody may change in place.
type Config struct {
	Data     string  // folder, relative to the current one; never empty
	Index    []Index // beside Upstream, at most MaxIndexes
	Serve    Serve
	Network  Network
	MDNS     MDNS
	Upstream Upstream
	Line     Line
	Pull     Pull
	Sync     Sync
	TLS      TLS
	Policy   Policy
	Private  Private
	Access   Access
	Limits   Limits
	Confine  Confine
	Clock    Clock
	Console  Console
	Watchdog Watchdog
	Modem    Modem
	Stick    Stick
	Update   Update
	LED      LED
	Button   Button
	Storage  Storage
	Log      Log
}

// Serve is the [serve] table: how the LAN reaches this box.
type Serve struct {
	Listen string // "host:port", the host may be empty
	Name   string // host name or address; "" to derive one
}

// Upstream is the [upstream] table: the index that is mirrored, and the way to it.
type Upstream struct {
	URL            string   // absolute http or https, without a user, query or fragment; "" for PyPI
	Mirrors        []string // absolute http or https likewise, at most MaxMirrors
	Proxy          string   // absolute http, https, socks5 or socks5h, may hold a user; "" for the environment
	CAFile         string   // PEM file; "" for the system's roots only
	Contact        string   // printable ASCII without parentheses, fit for a User-Agent; may be empty
	ConnectTimeout Duration
	StallTimeout   Duration
}

// MaxMirrors bounds upstream.mirrors: what nobody has is looked for at each.
const MaxMirrors = 8

// Line is the [line] table: what the way to upstream may be used for.
type Line struct {
	Rate       Size     // bytes per second; 0: no limit
	Windows    []string // as budget.ParseWindow reads them; empty: always
	MonthlyCap Size     // 0: no cap
}

// Pull is the [pull] table: what happens when something is asked for that is
// not here.
type Pull struct {
	Enabled bool
	Fresh   Duration // 0: ask upstream each time
	Wait    Duration // 0: do not wait
}

// Sync is the [sync] table: what this box holds before anyone asks.
type Sync struct {
	Interval     Duration
	Connections  int      // at least 1
	Projects     []string // requirements (PEP 508) without URLs, as they were written
	Dependencies bool
	Latest       int // releases per requirement, newest first; 0 for all
	Prereleases  bool
	SDists       SDistPolicy
	Python       []string // "major.minor", never empty
	Platforms    []string // "any", or the name of a platform; never empty
	MaxFileSize  Size     // at least 1
	RemovalGuard float64  // 0 to 1: the fraction of what is held
	Names        bool     // fetch the names of all projects of the upstream
	Pages        bool     // fetch their pages too
}

// TLS is the [tls] table: https, beside http.
type TLS struct {
	Address     string // "host:port", the host may be empty; "" for no https
	Certificate string // PEM file; "" for an authority of the box's own
	Key         string // PEM file
}

// Access is the [access] table: who may do what.
type Access struct {
	Read  ReadAccess
	Admin bool // there is administration at /admin/
}

// ReadAccess says who may read the index and its files.
type ReadAccess string

// The values of a ReadAccess.
const (
	ReadEverybody ReadAccess = "everybody"
	ReadToken     ReadAccess = "token" // who shows one
)

// Limits is the [limits] table: what clients can hold of this box.
type Limits struct {
	Connections           int // at least MinConnections; of http, and of https
	ConnectionsPerAddress int // at least MinConnections
	HeaderSize            Size
	HeaderTimeout         Duration
	IdleTimeout           Duration
	SendTimeout           Duration // for 1 MiB
	UploadTimeout         Duration // for the next bytes
}

// MinConnections is the least that the [limits] allow: one pip has a few.
const MinConnections = 4

// Confine is the [confine] table: what a serving process can reach of the machine.
type Confine struct {
	Process bool
	MoveTo  []string // folders
}

// Clock is the [clock] table: how the box comes to know what time it is.
type Clock struct {
	Verify     ClockVerify
	Servers    []string // "host" or "host:port"; may be empty
	WebServers []string // absolute http; may be empty
}

// ClockVerify says when the clock has to be verified before it is relied on.
type ClockVerify string

// The values of a ClockVerify.
const (
	VerifyAuto   ClockVerify = "auto" // where there is reason to doubt it
	VerifyAlways ClockVerify = "always"
	VerifyNever  ClockVerify = "never"
)

// Console is the [console] table.
type Console struct {
	Ports []string // paths of serial devices; empty: there is no console
}

// Watchdog is the [watchdog] table.
type Watchdog struct {
	Enabled bool
}

// Modem is the [modem] table: an LTE modem that is the way out.
type Modem struct {
	Port      string // of its commands; empty: it is not asked
	Interface string // of the network; empty: its bytes are not counted
	Roaming   bool   // what nobody waits for is fetched all the same
}

// Stick is the [stick] table: USB sticks.
type Stick struct {
	Folder string // in which they are mounted; "": they are not
}

// Update is the [update] table: new versions of the whole image.
type Update struct {
	Releases  string   // absolute http or https, without a user, query or fragment; "": nobody is asked
	Automatic bool     // install, and restart into, what is released
	Hours     []string // as budget.ParseWindow reads them; empty: at any time
}

// Private is the [private] table: packages that are uploaded here.
type Private struct {
	Names       []string // as pypi.ParseNamePattern reads them; empty: none are ours
	MaxFileSize Size     // at least 1
}

// Policy is the [policy] table: what is not given out.
type Policy struct {
	MinAge Duration // since the upload; 0: no matter
	Block  []string // as policy.ParseBlock reads them
	Allow  []string // as policy.ParseAllow reads them
}

// Storage is the [storage] table.
type Storage struct {
	Reserve Size
	Cache   Size // 0: all but the reserve
	// ScrubRate is in bytes per second; 0: files are not read again.
	ScrubRate     Size
	ScrubInterval Duration // between the beginnings of two rounds
}

// Log is the [log] table.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// SDistPolicy says which source distributions are mirrored.
type SDistPolicy string

// The values of an SDistPolicy.
const (
	SDistsAlways      SDistPolicy = "always"
	SDistsNever       SDistPolicy = "never"
	SDistsWhenNoWheel SDistPolicy = "when-no-wheel" // for releases without a wheel that fits
)

// LogFormat is the form of the log on standard error.
type LogFormat string

// The values of a LogFormat.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Default returns the configuration that holds where nothing is set. The lists
// are fresh for each call.
func Default() Config {
	return Config{
		Data:    "cheeseboard-data",
		Serve:   Serve{Listen: ":8080"},
		MDNS:    MDNS{Announce: AnnounceAuto},
		Network: Network{Hostname: "cheeseboard", HostnameFrom: NameFromFile},
		Upstream: Upstream{
			ConnectTimeout: Duration(10 * time.Second),
			StallTimeout:   Duration(30 * time.Second),
		},
		Pull: Pull{
			Enabled: true,
			Fresh:   Duration(10 * time.Minute),
			Wait:    Duration(1500 * time.Millisecond),
		},
		Sync: Sync{
			Interval:     Duration(6 * time.Hour),
			Connections:  96,
			Dependencies: true,
			Latest:       1,
			SDists:       SDistsWhenNoWheel,
			Python:       []string{"3.11", "3.12", "3.13"},
			Platforms:    []string{"any", "linux-x86_64", "linux-aarch64"},
			MaxFileSize:  2 * gigabyte,
			RemovalGuard: 0.1,
		},
		Access: Access{Read: ReadEverybody, Admin: true},
		Limits: Limits{
			Connections: 4096, ConnectionsPerAddress: 3072, HeaderSize: 16 << 10,
			HeaderTimeout: Duration(10 * time.Second), IdleTimeout: Duration(2 * time.Minute),
			SendTimeout: Duration(time.Minute), UploadTimeout: Duration(30 * time.Second),
		},
		Confine: Confine{Process: true, MoveTo: []string{"/mnt", "/media", "/run/media", "/srv"}},
		Clock: Clock{
			Verify:     VerifyAuto,
			Servers:    []string{"0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org"},
			WebServers: []string{"http://pypi.org/", "http://files.pythonhosted.org/", "http://www.python.org/", "http://deb.debian.org/"},
		},
		Console: Console{Ports: []string{"/dev/serial0", "/dev/ttyGS0"}},
		Update:  Update{Automatic: true, Hours: []string{"01:00-05:00"}},
		LED:     LED{Device: Auto},
		Button:  Button{Line: Auto},
		Private: Private{MaxFileSize: gigabyte},
		Storage: Storage{Reserve: 256 * megabyte, ScrubRate: 2 * megabyte, ScrubInterval: Duration(7 * 24 * time.Hour)},
		Log:     Log{Level: slog.LevelInfo, Format: LogText},
	}
}
