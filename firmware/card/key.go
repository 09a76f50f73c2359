package card

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cheeseboard/firmware/update"
)

// ReleaseKey reads the key that signs releases, or makes one where the file is not there.
// Whoever has it can make updates for all boxes with images that were built with it;
// whoever loses it cannot update them any more.
func ReleaseKey(path string) (key ed25519.PrivateKey, fresh bool, err error) {
	text, err := os.ReadFile(path)
	if fresh = errors.Is(err, fs.ErrNotExist); fresh {
		text, err = makeKey(path)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the release key: %w", err)
	}
	if key, err = update.ParsePrivateKey(text); err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return key, fresh, nil
}

func makeKey(path string) (private []byte, err error) {
	if private, _, err = update.NewKey(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// O_EXCL: of two builds at a time only one has a key to give.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(private)
	return private, errors.Join(err, f.Sync(), f.Close())
}
