package main

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
)

// TestAuthorities reads the list as programs do, and looks for two that much of the web
// depends on.
func TestAuthorities(t *testing.T) {
	pool := map[string]bool{}
	for rest := authorities(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		pool[certificate.Subject.CommonName] = certificate.IsCA
	}
	for _, name := range []string{"ISRG Root X1", "DigiCert Global Root G2"} {
		if !pool[name] {
			t.Errorf("%s is not in the list of %d", name, len(pool))
		}
	}
	if len(pool) < 50 {
		t.Errorf("there are only %d authorities", len(pool))
	}
}
