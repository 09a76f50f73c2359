package syncer

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readWheel follows the dependencies of a wheel whose index offers no metadata.
func (p *pass) readWheel(item Item, targets []int) {
	if !p.Engine.opts.Dependencies || !strings.HasSuffix(item.Filename, ".whl") {
		return
	}
	raw, err := p.wheelMetadata(item)
	if err != nil {
		p.log.Warn("a wheel's metadata cannot be read; what it needs is not followed", "project", item.Name, "filename", item.Filename, "reason", err)
		return
	}
	p.needs(item.Name, raw, targets)
}

func (p *pass) wheelMetadata(item Item) ([]byte, error) {
	f, here, err := p.shelf.Open(item.Name, item.Digest)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(f)
	z, err := zip.NewReader(f, here.Size)
	if err != nil {
		return nil, fmt.Errorf("open wheel: %w", err)
	}
	for _, entry := range z.File {
		folder, base, ok := strings.Cut(entry.Name, "/")
		if !ok || base != "METADATA" || !strings.HasSuffix(folder, ".dist-info") {
			continue
		}
		r, err := entry.Open()
		if err != nil {
			return nil, fmt.Errorf("open METADATA: %w", err)
		}
		defer closeQuietly(r)
		return io.ReadAll(io.LimitReader(r, maxMetadata))
	}
	return nil, errors.New("it has no METADATA")
}
