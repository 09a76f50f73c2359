package card

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"cheeseboard/firmware/update"
)

// Sums is the file with the digests of the results, Signature the one with its signature
// (64 bytes, Ed25519, RFC 8032), and PublicKey the one with the key that proves it, in PEM.
const (
	Sums      = "SHA256SUMS"
	Signature = Sums + ".sig"
	PublicKey = "release.pub.pem"
)

// writeSums writes the digests of files in a folder, as sha256sum prints and checks them,
// and signs them.
func writeSums(dir string, key ed25519.PrivateKey, names ...string) error {
	var lines []byte
	for _, name := range names {
		digest, err := digestOf(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("take the digest of %s: %w", name, err)
		}
		lines = fmt.Appendf(lines, "%x  %s\n", digest, name)
	}
	public, err := update.PublicPEM(key)
	return errors.Join(err,
		os.WriteFile(filepath.Join(dir, PublicKey), public, 0o644),
		os.WriteFile(filepath.Join(dir, Sums), lines, 0o644),
		os.WriteFile(filepath.Join(dir, Signature), ed25519.Sign(key, lines), 0o644))
}

func digestOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}
