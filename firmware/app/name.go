package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/firmware/mdns"
	"cheeseboard/storage/durable"
)

const (
	// nameFile is the file of the data folder that holds what the box is called on its
	// links. It is none of the metadata, which may be lost: a box that was called otherwise
	// after that would not be found.
	nameFile = "name.json"
	// unnamed is what a box is called that nobody has named.
	unnamed = "cheeseboard"
	// lookAtName is the time between two looks whether the machine is called otherwise:
	// DHCP may say so.
	lookAtName = 5 * time.Second
)

// keptName is what stands in nameFile.
type keptName struct {
	ID     string `json:"id"`               // tells this box from all others
	Wanted string `json:"wanted,omitempty"` // the name for which Label was taken
	Label  string `json:"label,omitempty"`
}

// naming is how the box makes its name known. The zero value does not.
type naming struct {
	mu        sync.Mutex
	responder *mdns.Responder // nil: there is none now
	failed    error           // why there is none
}

// announces tells whether the box is to say its name at an address.
func (a *App) announces(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	switch {
	case !ok || tcp.IP.IsLoopback():
		return false // nobody could reach it there
	case a.config.MDNS.Announce == config.AnnounceAuto:
		return a.machine != nil
	}
	return a.config.MDNS.Announce == config.AnnounceAlways
}

// wantedName is the label that this box is to have.
func wantedName(c config.Config) string {
	if label, ok := strings.CutSuffix(strings.TrimSuffix(strings.ToLower(c.Serve.Name), "."), ".local"); ok {
		if label := mdns.Label(label); label != "" {
			return label
		}
	}
	host, err := os.Hostname()
	if label := mdns.Label(host); err == nil && label != "" {
		return label
	}
	return unnamed
}

// startName has the name known while ctx lives, where it is to be.
func (a *App) startName(ctx context.Context, running *sync.WaitGroup, address net.Addr) {
	a.listens.Store(&address)
	if a.announces(address) {
		a.Health.Add("name", a.naming.probe)
		c := a.config // which another goroutine may replace, with the same settings
		running.Go(func() { a.sayName(ctx, c, address) })
	}
}

// sayName makes the name known until ctx ends, and another one where the machine comes
// to be called otherwise.
func (a *App) sayName(ctx context.Context, c config.Config, address net.Addr) {
	port := uint16(address.(*net.TCPAddr).Port) // announces has looked
	for ctx.Err() == nil {
		err := a.sayLabel(ctx, c, wantedName(c), port)
		a.naming.set(nil, err)
		if err != nil {
			a.log.Warn("the name of this box is not known on the network", "reason", err)
			select {
			case <-ctx.Done():
			case <-time.After(firstRetry):
			}
		}
	}
}

// sayLabel makes one name known, until ctx ends or another is wanted.
func (a *App) sayLabel(ctx context.Context, c config.Config, label string, port uint16) error {
	kept, err := a.recallName()
	if err != nil {
		return err
	}
	if kept.Wanted != label {
		kept.Label = ""
	}
	r := mdns.New(mdns.Options{
		Name: label, Kept: kept.Label, ID: kept.ID, Service: "_http._tcp", Port: port, Log: a.log,
		Text: []string{"path=/", "simple=/simple/", "id=" + kept.ID},
		Keep: func(taken string) {
			if err := a.keepName(keptName{kept.ID, label, taken}); err != nil {
				a.log.Warn("the name that this box has taken could not be written down", "reason", err)
			}
		},
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var looking sync.WaitGroup
	looking.Go(func() {
		ticker := time.NewTicker(lookAtName)
		defer ticker.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-ticker.C:
				if wantedName(c) != label {
					cancel()
				}
			}
		}
	})
	a.naming.set(r, nil)
	err = r.Run(ctx)
	cancel()
	looking.Wait()
	return err
}

// recallName reads what was kept, and gives the box its identity where it has none.
func (a *App) recallName() (k keptName, err error) {
	err = a.during(func() error {
		raw, err := os.ReadFile(filepath.Join(a.Store.Dir(), nameFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the name of the box: %w", err)
		}
		if err != nil || json.Unmarshal(raw, &k) != nil || len(k.ID) < 16 || strings.Trim(k.ID, "0123456789abcdef") != "" {
			k = keptName{ID: newIdentity()}
		}
		return nil
	})
	if err == nil && k.Wanted == "" { // what is made is kept at once
		if err := a.keepName(k); err != nil {
			a.log.Warn("the identity of this box could not be written down", "reason", err)
		}
	}
	return k, err
}

func newIdentity() string {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // it never fails
	return fmt.Sprintf("%x", id)
}

func (a *App) keepName(k keptName) error {
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return a.during(func() error {
		if a.Store.ReadOnly() {
			return nil
		}
		return (&durable.Disk{}).WriteFile(filepath.Join(a.Store.Dir(), nameFile), append(raw, '\n'), 0o600)
	})
}

func (n *naming) set(r *mdns.Responder, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.responder, n.failed = r, err
}

// state is what has become of the name; false: nobody says one.
func (n *naming) state() (s mdns.State, on bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.responder != nil {
		return n.responder.State(), true, nil
	}
	return mdns.State{}, false, n.failed
}

// local is the name by which the box is known on its links; "" for none.
func (n *naming) local() string {
	s, _, _ := n.state()
	return s.Name
}

func (n *naming) probe() health.Finding {
	s, on, err := n.state()
	switch {
	case err != nil:
		return health.Finding{Severity: health.Reduced, Summary: "the name of this box is not known on the network: " + err.Error(), Action: "use its address"}
	case s.Silent:
		return health.Finding{Severity: health.Attention, Summary: s.Wanted + " and every name that could stand for it belong to other machines", Action: "use the address, and give the box another name"}
	case !on || s.Name == "":
		return health.Finding{Severity: health.NotMeasured, Summary: "no network has been told the name of this box yet"}
	case s.Name != s.Wanted:
		return health.Finding{Summary: fmt.Sprintf("this box is known as %s, since %s belongs to another machine", s.Name, s.Wanted)}
	}
	return health.Finding{Summary: "this box is known as " + s.Name}
}

// calledNames are those by which people may call the box.
func (a *App) calledNames() []string { return []string{a.called, a.naming.local()} }

// addresses are what people may type into a browser: names, then addresses, always both.
func (a *App) addresses() []string {
	address := a.listens.Load()
	if address == nil {
		return nil
	}
	return browserURLs(IndexURLs(*address, a.calledNames()...))
}
