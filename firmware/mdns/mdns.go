// Package mdns makes the box known on its links: its name with its addresses, and its
// page as a service, by Multicast DNS (RFC 6762) and service discovery (RFC 6763).
//
//   - zone.go: the records that a link is told;
//   - engine.go: what is said when: probing, announcing, goodbye; a pure machine that is
//     handed the time;
//   - answer.go: what a question is answered; contest.go: whose a name is;
//   - run_linux.go, sockets_linux.go, links_linux.go: the sockets, and the kernel's word
//     on interfaces and addresses.
//
// A name that belongs to another machine is given up once, for NAME-<id4>, and kept: it
// is never counted up, for then each box of a classroom would be called otherwise after
// each power cut.
package mdns

import (
	"log/slog"
	"strings"
	"sync"
)

// Options say what is made known.
type Options struct {
	// Name is the label that is wanted; Label makes one of a host name.
	Name string
	// Kept is the label that an earlier run came to; it is tried first. "": none did.
	Kept string
	// ID tells this box from all others: at least 12 characters fit for a label.
	ID string
	// Keep is told the label that another machine has made this box take, to be Kept.
	// It is called from a goroutine of its own, one call at a time. nil: nobody keeps it.
	Keep func(label string)

	Service string   // such as "_http._tcp"
	Port    uint16   // of the service
	Text    []string // "key=value" of the service

	Log *slog.Logger // nil discards
}

// maxWanted leaves room for what is put behind a name, in the 63 bytes of a label.
const maxWanted = 63 - 1 - 4*stages

// Label makes a label of a host name: its first part, in what every resolver takes. "" of
// one that names no machine.
func Label(hostname string) string {
	first, _, _ := strings.Cut(strings.ToLower(hostname), ".")
	label := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-':
			return r
		case r == '_' || r == ' ':
			return '-'
		}
		return -1
	}, first)
	label = strings.Trim(label[:min(len(label), maxWanted)], "-")
	if label == "localhost" {
		return ""
	}
	return label
}

// Responder answers for this machine. Run may be called once.
type Responder struct {
	o Options

	mu     sync.Mutex
	name   string
	silent bool
}

// New makes a responder. Nothing is opened yet.
func New(o Options) *Responder {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Responder{o: o}
}

// State is what a responder has come to.
type State struct {
	Name   string // such as "cheeseboard.local"; "" while it is not known whose it is
	Wanted string // the name that it was to have
	Silent bool   // every name that it could take is somebody else's: it says nothing more
}

// State tells under which name the machine is known now.
func (r *Responder) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return State{Name: r.name, Wanted: r.o.Name + ".local", Silent: r.silent}
}

func (r *Responder) set(name string, silent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name != r.name && name != "" {
		r.o.Log.Info("this box is known on its links", "name", name)
	}
	r.name, r.silent = name, silent
}
