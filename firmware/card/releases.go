package card

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"cheeseboard/firmware/update"
)

// writeReleases makes the list that boxes ask for new versions: the folder with the results
// can be put behind update.releases as it is.
func writeReleases(o Options) error {
	names := NamesOf(o.Version)
	path := filepath.Join(o.Out, names.Bundle)
	digest, err := digestOf(path)
	if err != nil {
		return fmt.Errorf("take the digest of %s: %w", names.Bundle, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	index, err := update.WriteIndex(update.Index{Issued: o.Made.UTC(), Releases: []update.Offer{{
		Version: o.Version, Board: Board, URL: names.Bundle, Length: info.Size(), SHA256: hex.EncodeToString(digest),
	}}}, o.Key)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.Out, names.Releases), index, 0o644)
}
