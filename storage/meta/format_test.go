package meta

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

// TestBytes holds the encodings to what FORMAT.md says of them.
func TestBytes(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	digest, metaDigest := sha("file"), sha("metadata")
	h := &head{generation: 3, chunks: []chunk{{index: 1, generation: 2}}, project: pypi.Project{
		Name: "a", LastSerial: -2, Versions: []string{"1"}, Status: pypi.Status{State: "archived", Reason: "r"},
		Alternates: []string{},
		Files: []pypi.File{{
			Filename: "a.whl", URL: "u/a.whl", Size: 300, RequiresPython: ">3", Provenance: "p", GPGSig: pypi.No,
			Hashes:       pypi.Hashes{{Algorithm: "md5", Hex: "00"}, {Algorithm: "sha256", Hex: digest.String()}},
			CoreMetadata: pypi.CoreMetadata{Available: true, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: metaDigest.String()}}},
			Yanked:       pypi.Yanked{Is: true, Reason: "y"},
			UploadTime:   time.UnixMicro(5),
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
	if n := raw[1]; n != 64 || string(raw[2:34]) != string(digest[:]) || string(raw[34:66]) != string(metaDigest[:]) {
		t.Errorf("the raw bytes: % x", raw[1:66])
	}
	rest, err := d.dec.DecodeAll(raw[66:end], nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "03" + "03" + // generation, serial
		"02" + "0131" + // one version
		"08" + hex.EncodeToString([]byte("archived")) + "0172" +
		"00" + "01" + // no tracks stated, no alternates
		"01" + "01" + "02" + // one chunk
		"01" + "cf7f" + // one file, its flags: all but 4 and 5
		"05" + hex.EncodeToString([]byte("a.whl")) + "0175" +
		"01" + "036d6435" + "023030" + // md5
		"0179" + "0170" + "023e33" + // reason, provenance, requires-python
		"ac02" + "0a" // size, upload time
	if got := hex.EncodeToString(rest); got != want {
		t.Errorf("the rest is\n%s, want\n%s", got, want)
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
