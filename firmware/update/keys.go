package update

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Where a slot's initramfs holds what the running version says of itself, and whom
// it trusts.
const (
	ReleasePath = "/etc/cheeseboard/release.json" // a Release
	KeysPath    = "/etc/cheeseboard/keys"         // a folder of *.pem, one public key each
)

// The kinds of PEM blocks (RFC 8410: PKIX and PKCS #8).
const (
	publicBlock  = "PUBLIC KEY"
	privateBlock = "PRIVATE KEY"
)

// NewKey makes a pair: the private key and the public one, as PEM.
func NewKey() (private, public []byte, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a release key: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a release key: %w", err)
	}
	public, err = PublicPEM(key)
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: raw}), public, err
}

// PublicPEM is the public half of a private key, as PEM: for the slot's keys.
func PublicPEM(key ed25519.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("write a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: raw}), nil
}

// ParsePrivateKey reads an Ed25519 key from PEM.
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != privateBlock {
		return nil, errors.New("read the release key: it is no private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the release key: %w", err)
	}
	if k, ok := key.(ed25519.PrivateKey); ok {
		return k, nil
	}
	return nil, errors.New("read the release key: it is not of Ed25519")
}

// ParsePublicKey reads an Ed25519 key from PEM.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != publicBlock {
		return nil, errors.New("read a public key: it is none in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read a public key: %w", err)
	}
	if k, ok := key.(ed25519.PublicKey); ok {
		return k, nil
	}
	return nil, errors.New("read a public key: it is not of Ed25519")
}

// ReadKeys reads all public keys of a folder, *.pem. One that cannot be read is an
// error: a box that trusts nobody could not be updated any more, and must say so.
func ReadKeys(folder string) ([]ed25519.PublicKey, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.pem"))
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("read the release keys in %s: %w", folder, fs.ErrNotExist)
	}
	var keys []ed25519.PublicKey
	for _, p := range paths {
		text, rerr := os.ReadFile(p)
		if rerr != nil {
			return nil, rerr
		}
		k, rerr := ParsePublicKey(text)
		if rerr != nil {
			return nil, fmt.Errorf("%s: %w", p, rerr)
		}
		keys = append(keys, k)
	}
	return keys, err
}
