package upstreamtest

import (
	"bytes"
	"net/url"
	"slices"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

// TestCodecsReadThisRendering has the codecs of storage/pypi read pages that they
// had no hand in, and compares with what the index holds.
func TestCodecsReadThisRendering(t *testing.T) {
	index := SampleIndex(1)
	server := start(t, index)
	for _, name := range append(index.Projects(), "limburger") {
		address := server.IndexURL() + string(name) + "/"
		base, err := url.Parse(address)
		must(t, err)
		history := index.history(string(name))
		truth := history[len(history)-1]

		p, refused, err := pypi.DecodeProjectJSON(get(t, address, "Accept", typeJSON).body, name, base)
		if err != nil || len(refused) > 0 {
			t.Errorf("%s as JSON: %v, refused %v", name, err, refused)
			continue
		}
		compare(t, server, p, truth, true)
		if !slices.Equal(slices.Sorted(slices.Values(p.Versions)), slices.Sorted(slices.Values(truth.versions))) {
			t.Errorf("%s: versions %q, want %q", name, p.Versions, truth.versions)
		}

		p, refused, err = pypi.DecodeProjectHTML(get(t, address, "Accept", typeHTML).body, name, base)
		if err != nil || len(refused) > 0 {
			t.Errorf("%s as HTML: %v, refused %v", name, err, refused)
			continue
		}
		compare(t, server, p, truth, false)
	}
}

// compare checks what was read against the truth; HTML states less.
func compare(t *testing.T, server *Server, p *pypi.Project, truth state, asJSON bool) {
	t.Helper()
	status := truth.status
	if status.State == "" {
		status.State = pypi.StatusActive
	}
	if p.Status != status || p.LastSerial != truth.serial || len(p.Files) != len(truth.offered()) {
		t.Errorf("%s: %+v, serial %d, %d files, want %+v, %d, %d", p.Name,
			p.Status, p.LastSerial, len(p.Files), status, truth.serial, len(truth.offered()))
		return
	}
	for _, got := range p.Files {
		f := truth.files[truth.find(got.Filename)]
		hash, err := pypi.NewHash("sha256", f.sha256)
		must(t, err)
		want := pypi.File{
			Filename: f.filename, URL: server.FileURL(f.filename), Hashes: pypi.Hashes{hash},
			RequiresPython: f.requiresPython, Yanked: pypi.Yanked{Is: f.yanked, Reason: f.yankReason},
			Size: pypi.SizeUnknown, Provenance: f.provenance,
		}
		if asJSON {
			want.Size, want.UploadTime = f.size, f.uploaded.Truncate(time.Microsecond)
		}
		if got.URL != want.URL || !slices.Equal(got.Hashes, want.Hashes) || got.RequiresPython != want.RequiresPython ||
			got.Yanked != want.Yanked || got.Size != want.Size || got.Provenance != want.Provenance || !got.UploadTime.Equal(want.UploadTime) {
			t.Errorf("%s: read %+v, want %+v", f.filename, got, want)
		}
		digest, stated := got.CoreMetadata.Hashes.SHA256()
		if got.CoreMetadata.Available != (f.metadata != nil) || stated && digest.String() != f.metadataSHA256 {
			t.Errorf("%s: read %+v of its metadata", f.filename, got.CoreMetadata)
		}
	}
}

// TestCodecsRefuseHostileEntries wants every hostile entry refused, and nothing else.
func TestCodecsRefuseHostileEntries(t *testing.T) {
	server := start(t, SampleIndex(1))
	server.Tell(OnAll(), Hostile(), 0)
	address := server.IndexURL() + "cheddar/"
	base, err := url.Parse(address)
	must(t, err)
	p, refused, err := pypi.DecodeProjectJSON(get(t, address, "Accept", typeJSON).body, "cheddar", base)
	if err != nil || len(p.Files) != 10 || len(refused) != len(HostileFilenames("cheddar")) {
		t.Errorf("%v: %d files are left, %d refused of %d: %v", err, len(p.Files), len(refused), len(HostileFilenames("cheddar")), refused)
	}
	for _, f := range p.Files {
		if slices.Contains(HostileFilenames("cheddar"), f.Filename) {
			t.Errorf("%q was taken: %+v", f.Filename, f)
		}
	}
	var names []pypi.Name
	_, err = pypi.DecodeListJSON(bytes.NewReader(get(t, server.IndexURL(), "Accept", typeJSON).body), func(e pypi.ListEntry) error {
		names = append(names, e.Name)
		return nil
	})
	if err != nil || !slices.Equal(names, server.Index.Projects()) {
		t.Errorf("%v: root list %q", err, names)
	}
}
