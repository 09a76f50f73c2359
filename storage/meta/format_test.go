package meta

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"cheeseboard/storage/pypi"
)

// TestBytes holds the encodings to what FORMAT.md says of them.
func TestBytes(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	digest, metaDigest, address := sha("file"), sha("metadata"), sha("place")
	digits := address.String()
	path := digits[:2] + "/" + digits[2:4] + "/" + digits[4:]
	h := &head{generation: 3, chunks: []chunk{{index: 1, generation: 2}}, project: pypi.Project{
		Name: "a", LastSerial: -2, Versions: []string{"1"}, Status: pypi.Status{State: "archived", Reason: "r"},
		Alternates: []string{},
		Files: []pypi.File{{
			Filename: "a.whl", URL: "u/" + path + "/a.whl", Size: 300, RequiresPython: ">3", Provenance: "p/a.whl/provenance",
			Hashes:       pypi.Hashes{{Algorithm: "md5", Hex: "00"}, {Algorithm: "sha256", Hex: digest.String()}},
			CoreMetadata: pypi.CoreMetadata{Available: true, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: metaDigest.String()}}},
			Yanked:       pypi.Yanked{Is: true, Reason: "y"},
			UploadTime:   time.UnixMicro(5),
		}, {
			Filename: "b", URL: "u/" + path + "/b", Size: 301, UploadTime: time.UnixMicro(1),
		}, {
			Filename: "c", Size: pypi.SizeUnknown,
		}},
	}}
	raw, err := d.packHead(h)
	if err != nil {
		t.Fatal(err)
	}
	end := len(raw) - 4
	if raw[0] != 1 || binary.LittleEndian.Uint32(raw[end:]) != crc32.Checksum(raw[:end], crc32.MakeTable(crc32.Castagnoli)) {
		t.Errorf("sealed: % x", raw)
	}
	// The BLAKE2b of the address, the digests, size and upload time.
	stands := slices.Concat(address[:], digest[:], metaDigest[:], []byte{0xac, 2, 10}, address[:], []byte{0xad, 2, 7})
	n, k := binary.Uvarint(raw[1:])
	packed := 1 + k + len(stands)
	if n != uint64(len(stands)) || string(raw[1+k:packed]) != string(stands) {
		t.Errorf("the raw bytes: % x", raw[1:end])
	}
	// A frame of zstd without its first four bytes.
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	rest, err := decoder.DecodeAll(append([]byte{0x28, 0xb5, 0x2f, 0xfd}, raw[packed:end]...), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "03" + "03" + // generation, serial
		"03" + "0131" + // one version, which does not follow from the names
		"08" + hex.EncodeToString([]byte("archived")) + "0172" +
		"00" + "01" + // no tracks stated, no alternates
		"01" + "01" + "02" + // one chunk
		"03" + "ff9f01" + // three files; of the first the flags: all but 12, 13 and 15
		"05" + hex.EncodeToString([]byte("a.whl")) + "0175" +
		"01" + "036d6435" + "023030" + // md5
		"0179" + "0170" + "023e33" + // reason, provenance, requires-python
		"d801" + "01" + "62" + "0175" + // of the second: 3, 4, 6, 7
		"00" + "01" + "63" + "00" // of the third: none, and no address
	if got := hex.EncodeToString(rest); got != want {
		t.Errorf("the rest is\n%s, want\n%s", got, want)
	}
	// What is not known stands behind that.
	h.project.Files[1].Unknown, h.project.Unknown, h.project.InMeta = `"k":1`, `"p":2`, `"m":3`
	var more writer
	more.head(h)
	if got := hex.EncodeToString(more.rest); got != want+"01"+"01"+"05"+hex.EncodeToString([]byte(`"k":1`))+
		"05"+hex.EncodeToString([]byte(`"p":2`))+"05"+hex.EncodeToString([]byte(`"m":3`)) {
		t.Errorf("with unknown members the rest is\n%s", got)
	}
	state := appendState(nil, []Mark{{List: "wish"}}, []byte("x"), true)
	if string(state) != "\x03\x04wishx" {
		t.Errorf("a state is %q", state)
	}
	ref := packRef(Ref{Filename: "f", Metadata: true, Pinned: true, Size: 300})
	if got := hex.EncodeToString(ref[:len(ref)-4]); got != "01"+"03"+"ac02"+"66" {
		t.Errorf("a reference is %s", got)
	}
	keys := map[string]string{
		"p/a": string(headKey("a")), "n/a": string(nameKey("a")), "s/a": string(stateKey("a")), "t/a": string(tornKey("a")),
		"c/a\x00\x00\x00\x00\x01\x00\x00\x00\x02": string(chunkKey("a", h.chunks[0])),
		"r/a\x00" + string(digest[:]):             string(refKey("a", digest)),
		"b/" + string(digest[:]) + "\x00a":        string(blobKey(digest, "a")),
		"d/" + string(digest[:]):                  string(doomedKey(digest)),
	}
	for want, got := range keys {
		if got != want {
			t.Errorf("key %q, want %q", got, want)
		}
	}
}
