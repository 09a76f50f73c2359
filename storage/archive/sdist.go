package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"strings"
)

// readSdist reads PKG-INFO of a source distribution (PEP 625), and all else to its
// end: what cannot be unpacked here is not given to others.
func readSdist(r io.ReaderAt, size int64, is identity) (raw []byte, err error) {
	z, err := gzip.NewReader(bufio.NewReader(io.NewSectionReader(r, 0, size)))
	if err != nil {
		return nil, unpackFault(err)
	}
	in := tar.NewReader(&bounded{Reader: z, size: size})
	root := ""
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, unpackFault(err)
		}
		name := strings.TrimPrefix(header.Name, "./")
		if header.Typeflag == tar.TypeXGlobalHeader || name == "" {
			continue // says something of all entries, or is the folder itself
		}
		if err := checkPath(name); err != nil {
			return nil, err
		}
		folder, rest, _ := strings.Cut(name, "/")
		if root == "" {
			root = folder
		}
		switch {
		case folder != root || !is.folder(root):
			return nil, fault("the source distribution has the folder %.80q; all of it lies in one that is called after %s %s", folder, is.name, is.version)
		case rest != "PKG-INFO":
			continue
		case raw != nil:
			return nil, fault("the source distribution has PKG-INFO twice")
		case header.Typeflag != tar.TypeReg || header.Size > maxMetadata:
			return nil, fault("PKG-INFO is no file of at most %d bytes", maxMetadata)
		}
		if raw, err = io.ReadAll(in); err != nil {
			return nil, unpackFault(err)
		}
	}
	if raw == nil {
		return nil, fault("the source distribution has no PKG-INFO in its folder")
	}
	// What stands behind the archive's end is unpacked too, by some.
	if _, err := io.Copy(io.Discard, &bounded{Reader: z, size: size}); err != nil {
		return nil, unpackFault(err)
	}
	return raw, nil
}

// unpackFault tells a fault of the archive from one of the disk.
func unpackFault(err error) error {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return fault("the source distribution cannot be unpacked: %v", err)
}

// bounded gives up where too much comes out of an archive of size bytes.
type bounded struct {
	io.Reader
	size, read int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += int64(n)
	if large := tooLarge(b.read, b.size); large != nil {
		return 0, large
	}
	return n, err
}
