// Command image prints the certificates of the authorities that programs on the card
// trust, in PEM: Mozilla's list, as golang.org/x/crypto carries it.
//
// It lies in a module of its own. What else lies on the card, the kernel and the boot
// firmware, are dependencies of this module (parts.go), so that go.sum pins every byte
// of them and the program's own go.mod knows nothing of it.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	if _, err := os.Stdout.Write(authorities()); err != nil {
		fmt.Fprintln(os.Stderr, "image: print the authorities:", err)
		os.Exit(1)
	}
}

// authorities gives the certificates in the bundle's order, each behind its digest. One
// that is trusted only under a condition, which a file cannot say, is left out.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		fmt.Fprintf(&b, "# sha256 %x\n", sha256.Sum256(root.Certificate))
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
	}
	return b.Bytes()
}
