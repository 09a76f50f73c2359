package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// board is a box whose names, addresses and clock a test moves.
type board struct {
	who Identity
	now time.Time
}

func newBoard() *board {
	return &board{
		who: Identity{Names: []string{"cheese.local", "localhost"}, Addresses: []net.IP{net.ParseIP("192.168.1.5"), net.ParseIP("127.0.0.1")}},
		now: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC),
	}
}

func (b *board) options() Options {
	return Options{Who: func() Identity { return b.who }, Now: func() time.Time { return b.now }}
}

func authority(t *testing.T, b *board) (*Authority, []byte) {
	t.Helper()
	a, kept, err := New(b.options())
	if err != nil {
		t.Fatal(err)
	}
	return a, kept
}

// trusts reports whether a client that has installed the root connects under a name
// or an address.
func trusts(t *testing.T, a *Authority, host string, now time.Time) error {
	t.Helper()
	pair, err := a.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.Root()) {
		t.Fatal("the root is no PEM")
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now})
	return err
}

func TestAuthority(t *testing.T) {
	b := newBoard()
	a, kept := authority(t, b)
	for _, host := range []string{"cheese.local", "localhost", "192.168.1.5", "127.0.0.1"} {
		if err := trusts(t, a, host, b.now); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"pypi.org", "other.local", "192.168.1.6"} {
		if trusts(t, a, host, b.now) == nil {
			t.Errorf("it is trusted as %s", host)
		}
	}
	if !strings.Contains(string(kept), "PRIVATE KEY") || bytes.Contains(a.Root(), []byte("PRIVATE")) {
		t.Error("the key is not where it belongs")
	}
	again, err := Load(kept, b.options())
	if err != nil || again.Fingerprint() != a.Fingerprint() || len(a.Fingerprint()) != 95 || !bytes.Equal(a.Root(), again.Root()) {
		t.Fatalf("%v, %s, %s", err, a.Fingerprint(), again.Fingerprint())
	}
	if err := trusts(t, again, "cheese.local", b.now); err != nil {
		t.Error(err)
	}
	for what, raw := range map[string][]byte{"nothing": nil, "no key": a.Root(), "half": kept[:len(kept)/2]} {
		if _, err := Load(raw, b.options()); err == nil {
			t.Errorf("%s is an authority", what)
		}
	}
	b.now = b.now.Add(rootLife)
	if _, err := Load(kept, b.options()); err == nil {
		t.Error("an authority that has ended is good")
	}
}

// TestRootIsConstrained: with the key of the authority nobody makes certificates for
// others.
func TestRootIsConstrained(t *testing.T) {
	b := newBoard()
	a, _ := authority(t, b)
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	mailbox, _ := url.Parse("https://pypi.org/")
	for what, template := range map[string]*x509.Certificate{
		"a name":          {DNSNames: []string{"pypi.org"}},
		"an address":      {IPAddresses: []net.IP{net.ParseIP("151.101.0.223")}},
		"an IPv6 address": {IPAddresses: []net.IP{net.ParseIP("2a04:4e42::223")}},
		"a URI":           {URIs: []*url.URL{mailbox}},
		"an e-mail":       {EmailAddresses: []string{"a@pypi.org"}},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "x"}
		template.NotBefore, template.NotAfter = b.now, b.now.Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, a.root, &key.PublicKey, a.key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: b.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			t.Errorf("it may vouch for %s", what)
		}
	}
}

// TestCertificateIsRenewed follows time, names and addresses.
func TestCertificateIsRenewed(t *testing.T) {
	b := newBoard()
	a, _ := authority(t, b)
	serial := func() string {
		t.Helper()
		pair, err := a.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	first := serial()
	b.now = b.now.Add(leafLife - leafLeft - time.Hour)
	if serial() != first {
		t.Error("it is made anew too early")
	}
	b.now = b.now.Add(2 * time.Hour)
	second := serial()
	if second == first {
		t.Error("it is not made anew before it ends")
	}
	b.who.Addresses = append([]net.IP{net.ParseIP("10.1.2.3")}, b.who.Addresses...)
	if serial() != second {
		t.Error("it looks at each connection")
	}
	b.now = b.now.Add(lookEvery)
	third := serial()
	if third == second || trusts(t, a, "10.1.2.3", b.now) != nil {
		t.Error("a new address is not in it")
	}
	b.who.Names = []string{"brie.local", "pypi.org"} // of which it may vouch for one
	b.now = b.now.Add(lookEvery)
	if serial() == third || trusts(t, a, "brie.local", b.now) != nil || trusts(t, a, "pypi.org", b.now) == nil {
		t.Error("the names are not those that it may have")
	}
}

// TestClockAtZero: a board without a battery begins in 1970, and clients that know
// the time take its certificate all the same.
func TestClockAtZero(t *testing.T) {
	b := newBoard()
	b.now = time.Unix(0, 0)
	a, _ := authority(t, b)
	if err := trusts(t, a, "cheese.local", plausible.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	b.now = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC) // the clock is set
	if err := trusts(t, a, "cheese.local", b.now); err != nil {
		t.Error(err)
	}
	b.now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) // back, since it was wrong
	if err := trusts(t, a, "cheese.local", b.now); err != nil {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	b := newBoard()
	dir := t.TempDir()
	write := func() {
		t.Helper()
		a, _ := authority(t, b)
		pair, err := a.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for name, block := range map[string]*pem.Block{
			"cert": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: key},
		} {
			if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	if _, err := Open(cert, key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("nothing is a certificate")
	}
	write()
	f, err := Open(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	f.now = func() time.Time { return now }
	get := func() string {
		pair, err := f.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return fingerprint(pair.Certificate[0])
	}
	first := get()
	write()
	later := time.Now().Add(time.Hour)
	for _, path := range []string{cert, key} {
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(lookEvery)
	second := get()
	if second == first {
		t.Error("a new certificate is not read")
	}
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(lookEvery)
	if get() != second {
		t.Error("one that is being replaced is not served any more")
	}
}

// TestRootComesToItsEnd: no certificate can last longer than its root, so that none is
// made anew for that at each connection.
func TestRootComesToItsEnd(t *testing.T) {
	b := newBoard()
	a, _ := authority(t, b)
	for _, left := range []time.Duration{leafLeft / 2, time.Hour, -time.Hour} {
		b.now = a.Ends().Add(-left)
		first, err := a.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := a.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if first != again {
			t.Errorf("%v before the end of the root each connection has a certificate made", left)
		}
		if left > 0 && trusts(t, a, "cheese.local", b.now) != nil {
			t.Errorf("%v before the end of the root it is not trusted any more", left)
		}
	}
}
