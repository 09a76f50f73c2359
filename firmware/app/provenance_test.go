package app_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// notary gives out attestations of files, as publishers would.
type notary struct {
	*httptest.Server
	asked atomic.Int64
	heard chan string // what was asked for
	lie   atomic.Bool
}

func newNotary(t *testing.T, index *upstreamtest.Index) *notary {
	n := &notary{heard: make(chan string, 100)}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.asked.Add(1)
		filename := strings.TrimPrefix(r.URL.Path, "/")
		n.heard <- filename
		content, ok := index.Content(filename)
		if !ok || r.Header.Get("Accept") == "" {
			http.NotFound(w, r)
			return
		}
		if n.lie.Load() {
			content = append(content, 0)
		}
		_, _ = fmt.Fprint(w, provenance(filename, content)) // a client that has gone needs no answer
	}))
	t.Cleanup(n.Close)
	return n
}

func provenance(filename string, content []byte) string {
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":%q,"digest":{"sha256":"%x"}}]}`, filename, sha256.Sum256(content))
	return fmt.Sprintf(`{"version":1,"attestation_bundles":[{"publisher":{"kind":"GitHub"},"attestations":[{"version":1,"verification_material":{},"envelope":{"statement":%q,"signature":"c2ln"}}]}]}`,
		base64.StdEncoding.EncodeToString([]byte(statement)))
}

// attested is a box with a selection of one project and its attestations, and another
// project that is pulled through.
func attested(t *testing.T) (*office, *notary, []string) {
	public, corp := publish(t, "brie 1.0", "edam 1.0"), publish(t, "corp-x 1.0")
	n := newNotary(t, public.Index)
	var files []string
	for _, name := range []string{"brie", "edam"} {
		file := public.Index.Filenames(name)[0]
		if err := public.Index.SetProvenance(name, file, n.URL+"/"+file); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return newOffice(t, public, corp, "brie"), n, files
}

func integrityURL(name, filename string) string {
	return "/integrity/" + name + "/1.0/" + filename + "/provenance"
}

// TestProvenance holds that attestations come with their file, and are there without
// a line.
func TestProvenance(t *testing.T) {
	o, n, files := attested(t)
	o.sync() // waits for what comes behind the files
	if n.asked.Load() != 1 {
		t.Errorf("attestations were asked for %d times", n.asked.Load())
	}
	want := func(name, filename string) {
		t.Helper()
		content, _ := o.public.Index.Content(filename)
		w, _ := o.ask(integrityURL(name, filename))
		if w.Code != 200 || w.Body.String() != provenance(filename, content) || w.Header().Get("Content-Type") != "application/vnd.pypi.integrity.v1+json" {
			t.Errorf("%s: %d %v %s", filename, w.Code, w.Header(), w.Body)
		}
	}
	want("brie", files[0])
	o.want("/simple/brie/", 200, `"provenance":"`+n.URL) // over http it can be nobody else's

	// What is pulled through brings its own.
	o.want("/simple/edam/", 200)
	o.want(file(o.public, "", "edam", files[1]), 200)
	for filename := range n.heard {
		if filename == files[1] {
			break
		}
	}
	want("edam", files[1]) // what is under way is waited for
	if n.asked.Load() != 2 {
		t.Errorf("attestations of two files were asked for %d times", n.asked.Load())
	}
	o.close()
	o.open()
	if err := o.public.Kill(); err != nil {
		t.Fatal(err)
	}
	n.Close()
	want("brie", files[0])
	want("edam", files[1])
	o.want("/integrity/corp-x/1.0/corp_x-1.0-py3-none-any.whl/provenance", 404, "belongs to the index corp")
	o.want("/corp/integrity/corp-x/1.0/corp_x-1.0-py3-none-any.whl/provenance", 404, "")
	o.want(integrityURL("brie", strings.Replace(files[0], "1.0", "2.0", 1)), 404)
}

// TestProvenanceOfWhatIsNotHere is passed through and not kept.
func TestProvenanceOfWhatIsNotHere(t *testing.T) {
	o, n, files := attested(t)
	o.want(integrityURL("edam", files[1]), 200, "attestation_bundles")
	asked := n.asked.Load()
	o.want(integrityURL("edam", files[1]), 200, "attestation_bundles")
	if n.asked.Load() != asked+1 {
		t.Errorf("asked %d times, then %d", asked, n.asked.Load())
	}
}

// TestProvenanceOfOtherBytes is not given out.
func TestProvenanceOfOtherBytes(t *testing.T) {
	o, n, files := attested(t)
	n.lie.Store(true)
	o.sync()
	o.want(integrityURL("brie", files[0]), 404, "of other bytes")
	n.lie.Store(false)
	o.sync() // the next pass looks again
	n.Close()
	o.want(integrityURL("brie", files[0]), 200)
}

// TestProvenanceGoesWithItsFile sweeps what belongs to nothing any more.
func TestProvenanceGoesWithItsFile(t *testing.T) {
	o, _, files := attested(t)
	o.sync()
	o.want(integrityURL("brie", files[0]), 200)
	if n, err := o.Store.SweepAttestations(); n != 0 || err != nil {
		t.Errorf("%d were swept of files that are here, %v", n, err)
	}
	if err := o.Store.DeleteProject("brie"); err != nil {
		t.Fatal(err)
	}
	if n, err := o.Store.SweepAttestations(); n != 1 || err != nil {
		t.Errorf("%d were swept, %v", n, err)
	}
}

// TestPageNamesOwnProvenance holds that pages name this box, by https, where it has a
// name and speaks that, and that their tags tell.
func TestPageNamesOwnProvenance(t *testing.T) {
	o, n, files := attested(t)
	o.sync()
	tag := func() string {
		w, _ := o.ask("/simple/brie/")
		return w.Header().Get("ETag")
	}
	plain := tag()
	o.want("/simple/brie/", 200, `"provenance":"`+n.URL)
	for address, want := range map[string]string{
		":443": "https://box.example/integrity/brie/1.0/" + files[0] + "/provenance", "127.0.0.1:8443": "https://box.example:8443/integrity/brie/1.0/",
	} {
		o.config.Serve.Name, o.config.TLS.Address = "box.example", address
		o.restart("corp-*")
		o.want("/simple/brie/", 200, `"provenance":"`+want, "!"+n.URL)
		if tag() == plain {
			t.Error("the tag does not tell")
		}
	}
	o.config.Serve.Name = ""
	o.restart("corp-*")
	o.want("/simple/brie/", 200, `"provenance":"`+n.URL)
	if tag() != plain {
		t.Error("the tag does not tell")
	}
}
