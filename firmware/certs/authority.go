// Package certs gives the box its certificates: those of an authority of its own,
// made on first use, whose root the people of the LAN install once; or those of
// files that somebody else keeps fresh.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	rootLife = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// leafLeft is how long before its end a certificate is made anew.
	leafLeft = 30 * 24 * time.Hour
	// lookEvery is the time between two looks at names and addresses.
	lookEvery = 30 * time.Second
)

// plausible is before the first version of this program. A board whose clock has not
// been set shows less; its certificates begin here, so that clients take them.
var plausible = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Identity is what the box is called.
type Identity struct {
	Names     []string // of hosts
	Addresses []net.IP
}

// Options are the settings of an Authority. Who is required.
type Options struct {
	// Who tells names and addresses as they are at the moment. It is asked now and
	// then while clients connect, and must be quick.
	Who func() Identity
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil discards
}

// Authority signs the certificates of one box, and of nothing else: its root says
// for which names and addresses it may. It is safe for concurrent use.
type Authority struct {
	o    Options
	root *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaf   *tls.Certificate
	covers Identity // what leaf was asked to be for
	looked time.Time
}

// New makes an authority, and what is to be kept of it: PEM that holds the private
// key, for its owner only.
func New(o Options) (*Authority, []byte, error) {
	a := prepare(o)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	who := a.o.Who()
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	begin := a.now().Add(-24 * time.Hour)
	name := "Cheeseboard"
	if len(who.Names) > 0 {
		name += " " + who.Names[0]
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: shorten(name + " root")},
		NotBefore: begin, NotAfter: begin.Add(rootLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         permittedNames(who.Names),
		PermittedIPRanges:           permittedRanges(who.Addresses),
		// Of other kinds of names none: not even one of these exists.
		PermittedEmailAddresses: []string{"invalid.invalid"}, PermittedURIDomains: []string{"invalid.invalid"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	a.key = key
	if a.root, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make authority: %w", err)
	}
	kept := append(a.Root(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...)
	return a, kept, nil
}

// Load reads what New gave to be kept. An authority that has ended is refused.
func Load(kept []byte, o Options) (*Authority, error) {
	a := prepare(o)
	pair, err := tls.X509KeyPair(kept, kept)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || pair.Leaf == nil || !pair.Leaf.IsCA {
		return nil, errors.New("read authority: it is not one of ours")
	}
	if a.now().After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("read authority: it has ended on %s", pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	a.root, a.key = pair.Leaf, key
	return a, nil
}

func prepare(o Options) *Authority {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Authority{o: o}
}

func (a *Authority) now() time.Time {
	now := a.o.Now()
	if now.Before(plausible) {
		return plausible
	}
	return now
}

// Root is the root certificate as PEM, for people to install.
func (a *Authority) Root() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// Ends is when the root ends. Then another has to be made, and installed by all clients.
func (a *Authority) Ends() time.Time { return a.root.NotAfter }

// Fingerprint is the SHA-256 of the root, by which people compare it.
func (a *Authority) Fingerprint() string { return fingerprint(a.root.Raw) }

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	var parts []string
	for _, b := range sum {
		parts = append(parts, strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return strings.Join(parts, ":")
}

// Certificate gives the certificate of the box, and makes it anew before it ends,
// and when the box is called otherwise.
func (a *Authority) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.leaf != nil {
		last := !a.leaf.Leaf.NotAfter.Before(a.root.NotAfter) // another would end no later
		ending := now.After(a.leaf.Leaf.NotAfter.Add(-leafLeft)) && !last || now.Before(a.leaf.Leaf.NotBefore)
		if !ending && now.Sub(a.looked) < lookEvery && !now.Before(a.looked) {
			return a.leaf, nil
		}
		who := a.o.Who()
		a.looked = now
		if !ending && slices.Equal(who.Names, a.covers.Names) && slices.EqualFunc(who.Addresses, a.covers.Addresses, net.IP.Equal) {
			return a.leaf, nil
		}
	}
	leaf, who, err := a.sign(now)
	if err != nil {
		if a.leaf != nil {
			a.o.Log.Error("the certificate cannot be made anew; the old one goes on", "reason", err)
			return a.leaf, nil
		}
		return nil, err
	}
	a.leaf, a.covers, a.looked = leaf, who, now
	a.o.Log.Info("a certificate was made", "names", leaf.Leaf.DNSNames, "addresses", leaf.Leaf.IPAddresses, "until", leaf.Leaf.NotAfter.Format(time.DateOnly))
	return leaf, nil
}

// sign makes a certificate for what the box is called now, as far as the root may
// vouch for it.
func (a *Authority) sign(now time.Time) (*tls.Certificate, Identity, error) {
	who := a.o.Who()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, who, fmt.Errorf("make certificate: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, who, err
	}
	end := now.Add(leafLife)
	if end.After(a.root.NotAfter) {
		end = a.root.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "cheeseboard"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range who.Names {
		if within(name, a.root.PermittedDNSDomains) {
			template.DNSNames = append(template.DNSNames, name)
			continue
		}
		a.o.Log.Warn("the authority was made for other names, and cannot vouch for this one; set tls.certificate, or remove authority.pem and have its new root installed", "name", name)
	}
	for _, ip := range who.Addresses {
		if slices.ContainsFunc(a.root.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip) }) {
			template.IPAddresses = append(template.IPAddresses, ip)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, &key.PublicKey, a.key)
	if err != nil {
		return nil, who, fmt.Errorf("make certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, who, fmt.Errorf("make certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.root.Raw}, PrivateKey: key, Leaf: leaf}, who, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return serial, nil
}

// shorten keeps a common name within its 64 bytes (RFC 5280).
func shorten(s string) string { return s[:min(len(s), 64)] }

// localDomains are for names that no public authority gives out, so that a box can
// be called otherwise later.
var localDomains = []string{"localhost", "local", "lan", "internal", "home.arpa"}

// permittedNames is what a root may vouch for: the names of its box, and whatever
// stands below the domains of local networks. It is worth nothing elsewhere.
func permittedNames(names []string) []string {
	out := slices.Clone(localDomains)
	for _, name := range names {
		if !within(name, out) {
			out = append(out, name)
		}
	}
	return out
}

func within(name string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool { return name == d || strings.HasSuffix(name, "."+d) })
}

// localRanges are the addresses that are not the internet's.
var localRanges = []string{
	"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
	"::1/128", "fc00::/7", "fe80::/10",
}

// permittedRanges is the same for addresses: those of local networks, and those that
// the box has.
func permittedRanges(addresses []net.IP) (out []*net.IPNet) {
	for _, text := range localRanges {
		_, n, err := net.ParseCIDR(text)
		if err == nil { // they are as they stand above
			out = append(out, n)
		}
	}
	for _, ip := range addresses {
		if slices.ContainsFunc(out, func(n *net.IPNet) bool { return n.Contains(ip) }) {
			continue
		}
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		out = append(out, &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
	}
	return out
}
