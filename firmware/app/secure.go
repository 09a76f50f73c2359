package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"cheeseboard/firmware/certs"
	"cheeseboard/firmware/health"
	"cheeseboard/httpd"
	"cheeseboard/storage"
	"cheeseboard/storage/durable"
)

// authorityName is the file of the data folder that holds the authority, with its key.
const authorityName = "authority.pem"

// secure is how the box serves https. The zero value does not.
type secure struct {
	mu        sync.Mutex
	authority *certs.Authority // nil: a certificate from elsewhere, or no https
	address   net.Addr         // nil until it listens
	failed    error            // why https is not served, although it is wanted
}

// rootLeft is how long before the end of its root a box says that another is needed.
const rootLeft = 90 * 24 * time.Hour

// probe tells how https is.
func (s *secure) probe() health.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	const action = "remove authority.pem from the data folder and start the box anew, then have clients trust its new root (/ca.crt)"
	var disk *fs.PathError
	switch {
	case errors.As(s.failed, &disk): // which says nothing of what is in the file
		return attention("start the box anew; if that does not help, look at its disk", "https is not served: %v", s.failed)
	case s.failed != nil:
		return attention(action, "https is not served: %v", s.failed)
	case s.authority != nil && time.Until(s.authority.Ends()) < rootLeft:
		return attention(action, "the root certificate of this box ends on %s", s.authority.Ends().Format(time.DateOnly))
	case s.address == nil:
		return health.Finding{Summary: "https is not served yet"}
	}
	return well("https is served")
}

// without notes why https is not served.
func (s *secure) without(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

func (s *secure) root() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.authority == nil {
		return nil
	}
	return s.authority.Root()
}

// Secure tells where https is served, and the fingerprint of the root certificate
// that is to be installed for that: nil and "" where there is none. It is for when
// Serve has called ready.
func (a *App) Secure() (address net.Addr, fingerprint string) {
	a.secure.mu.Lock()
	defer a.secure.mu.Unlock()
	if a.secure.authority != nil {
		fingerprint = a.secure.authority.Fingerprint()
	}
	return a.secure.address, fingerprint
}

// listenSecure opens the listener for https and gives the server for it; nil where
// the settings want none.
func (a *App) listenSecure() (net.Listener, *http.Server, error) {
	c := a.config.TLS
	if c.Address == "" {
		return nil, nil, nil
	}
	certificate, err := a.certificates()
	if errors.Is(err, storage.ErrFull) {
		a.log.Error("on a full disk no authority can be made: https is not served", "reason", err)
		return nil, nil, nil
	}
	if err != nil && c.Certificate == "" && c.Key == "" {
		// No setting is wrong, and what is here can be had without https.
		a.log.Error("https is not served", "reason", err)
		a.secure.without(err)
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, nil, explainListen("tls.address", c.Address, err)
	}
	server := httpd.NewServer(a.Handler(), a.log, serverLimits(a.config.Limits))
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate}
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100}
	a.secure.mu.Lock()
	defer a.secure.mu.Unlock()
	a.secure.address = listener.Addr()
	return httpd.NewCrowd(listener, server, a.config.Limits.Connections, a.config.Limits.ConnectionsPerAddress), server, nil
}

// certificates gives what finds the certificate for a connection.
func (a *App) certificates() (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	c := a.config.TLS
	switch {
	case c.Certificate != "" && c.Key != "":
		files, err := certs.Open(c.Certificate, c.Key, a.log)
		if err != nil {
			return nil, err
		}
		return files.Certificate, nil
	case c.Certificate != "" || c.Key != "":
		return nil, errors.New("tls.certificate and tls.key are set both, or none of them: then the box makes an authority of its own")
	}
	authority, err := openAuthority(a.calledNames, a.Store.Dir(), a.log, true)
	if err != nil {
		return nil, err
	}
	if _, err := authority.Certificate(nil); err != nil {
		return nil, err
	}
	a.secure.mu.Lock()
	defer a.secure.mu.Unlock()
	a.secure.authority = authority
	a.log.Info("https by an authority of this box; its root certificate stands at /ca.crt", "sha256", authority.Fingerprint())
	return authority.Certificate, nil
}

// openAuthority reads the authority of a data folder, and makes it where it is
// missing and wanted; nil where it is neither.
func openAuthority(names func() []string, folder string, log *slog.Logger, wanted bool) (*certs.Authority, error) {
	options := certs.Options{Who: func() certs.Identity { return identity(names()...) }, Log: log}
	path := filepath.Join(folder, authorityName)
	kept, err := os.ReadFile(path)
	switch {
	case err == nil:
		authority, err := certs.Load(kept, options)
		if err != nil {
			err = fmt.Errorf("%w; remove %s, and another is made, whose root has to be installed anew", err, path)
		}
		return authority, err
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read authority: %w", err)
	case !wanted:
		return nil, nil
	}
	authority, kept, err := certs.New(options)
	if err != nil {
		return nil, err
	}
	if err := (&durable.Disk{}).WriteFile(path, kept, 0o600); err != nil {
		return nil, fmt.Errorf("write authority: %w", storage.Full(err))
	}
	log.Info("an authority was made for this box", "file", path)
	return authority, nil
}

// identity is what this machine is called, beside these names, and where it is, on the LAN.
func identity(names ...string) certs.Identity {
	var who certs.Identity
	add := func(names ...string) {
		for _, n := range names {
			if n = strings.ToLower(strings.TrimSuffix(n, ".")); n != "" && !slices.Contains(who.Names, n) {
				who.Names = append(who.Names, n)
			}
		}
	}
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			who.Addresses = append(who.Addresses, ip.AsSlice())
		} else {
			add(name)
		}
	}
	if host, err := os.Hostname(); err == nil && !strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		short, _, _ := strings.Cut(host, ".")
		add(host, short+".local")
	}
	add("localhost")
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return who // the names will do
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if ok && !slices.ContainsFunc(who.Addresses, n.IP.Equal) {
			who.Addresses = append(who.Addresses, n.IP)
		}
	}
	return who
}

// fingerprint of the authority's root, for the status; "" where there is none.
func (a *App) rootFingerprint() string {
	if _, fingerprint := a.Secure(); fingerprint != "" {
		return fingerprint
	}
	authority, err := openAuthority(a.calledNames, a.Store.Dir(), a.log, false)
	if err != nil || authority == nil {
		return "" // the box says what is wrong with it when it serves
	}
	return authority.Fingerprint()
}
