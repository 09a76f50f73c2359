package hardship

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/firmware/app"
)

// certificates are those of a host with TLS: one that holds, and one that will.
type certificates struct {
	settings    app.Config
	authority   string       // file that a box trusts
	certificate atomic.Int32 // 2: the one whose time has not begun
}

// secure serves a handler over TLS under any name that ends in .test.
func (s *certificates) secure(t testing.TB, handler http.Handler) (address string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cheese"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	must(t, err)
	s.authority = filepath.Join(t.TempDir(), "authority.pem")
	must(t, os.WriteFile(s.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o644))
	make := func(from time.Time) *tls.Certificate {
		host := &x509.Certificate{
			SerialNumber: big.NewInt(2), DNSNames: []string{"*.test"}, NotBefore: from, NotAfter: from.Add(24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		raw, err := x509.CreateCertificate(rand.Reader, host, root, &key.PublicKey, key)
		must(t, err)
		return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
	}
	holds, will := make(now.Add(-time.Hour)), make(now.Add(12*time.Hour))
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if s.certificate.Load() == 2 {
			return will, nil
		}
		return holds, nil
	}}
	server.EnableHTTP2 = false
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}
