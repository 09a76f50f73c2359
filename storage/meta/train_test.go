package meta

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/dict"
	"github.com/klauspost/compress/zstd"

	"cheeseboard/storage/population"
)

var train = flag.Bool("train", false, "make dictionary.zstd anew; then its number and its sum in FORMAT.md must change")

// dictionaryNumber is in every frame that was packed with the dictionary.
const dictionaryNumber = 101

// TestDictionary holds the dictionary to what FORMAT.md says of it: other bytes
// would make every record unreadable.
func TestDictionary(t *testing.T) {
	if *train {
		trained := trainDictionary(t)
		if err := os.WriteFile("dictionary.zstd", trained, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Skip("made dictionary.zstd anew; the next run tests it")
	}
	format, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(dictionary)
	if !strings.Contains(string(format), hex.EncodeToString(sum[:])) {
		t.Errorf("FORMAT.md does not know a dictionary with the SHA-256 %x", sum)
	}
	d, err := zstd.InspectDictionary(dictionary)
	if err != nil || d.ID() != dictionaryNumber {
		t.Errorf("its number is not %d (%v)", dictionaryNumber, err)
	}
}

// trainDictionary makes a dictionary from the records of a population that no
// measurement uses.
func trainDictionary(t *testing.T) []byte {
	p := population.New(20080606, 40_000)
	var samples [][]byte
	for i := 0; i < p.Len(); i += 7 {
		page := p.Project(i, 0)
		if i%35 != 0 { // a fifth keeps its addresses
			for j := range page.Files {
				page.Files[j].URL = ""
			}
		}
		inline, chunks := arrange(nil, page.Files)
		page.Files = inline
		var w writer
		w.head(&head{project: *page, chunks: chunks, implied: i%10 > 0})
		samples = append(samples, w.rest)
		for _, c := range chunks[:min(len(chunks), 2)] {
			w = writer{}
			w.files(c.files)
			samples = append(samples, w.rest)
		}
		if i%50 == 0 {
			samples = append(samples, []byte(troubledNote(i)))
		}
	}
	trained, err := dict.BuildZstdDict(samples, dict.Options{
		MaxDictSize: 16 << 10, HashBytes: 6, ZstdDictID: dictionaryNumber, ZstdLevel: zstd.SpeedDefault,
	})
	if err != nil {
		t.Fatal(err)
	}
	return trained
}

// troubledNote is what the follower of an upstream notes of a page that it could
// not have; what it notes of others is short already.
func troubledNote(i int) string {
	return fmt.Sprintf(`{"upstream":"https://pypi.org/simple/","validators":{},"asked":"2026-11-22T19:22:%02dZ",`+
		`"page":{"reason":"fetch https://pypi.org/simple/: upstream answered 503","cause":"refused","failures":%d,`+
		`"since":"2026-11-21T09:07:%02dZ","next_try":"2026-11-23T10:03:%02dZ"},"files":{},"held_back":0,"refused":[],"remarks":[]}`,
		i%60, i%9, i%60, i%60)
}
