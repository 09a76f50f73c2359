package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	announcedSecure = regexp.MustCompile(`https: (https://127\.0\.0\.1:\d+)/simple/\n`)
	announcedRoot   = regexp.MustCompile(`root certificate: (/ca\.crt), SHA-256 ([0-9A-F:]{95})\n`)
)

// secureURL waits until the box has said where https is, and the fingerprint of its
// root.
func (b *box) secureURL() (url, fingerprint string) {
	b.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		said, more := b.stdout.next()
		at, root := announcedSecure.FindStringSubmatch(said), announcedRoot.FindStringSubmatch(said)
		if at != nil && root != nil {
			return at[1], root[2]
		}
		select {
		case <-more:
		case <-b.ended:
			b.t.Fatal("the box has ended")
		case <-timer.C:
			b.t.Fatal("the box does not say where https is")
		}
	}
}

// TestTLS serves http and https at once by an authority of the box's own: its root
// can be had, is what the console says, stays the same over a restart and a move, and
// is all that pip and Go need.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, "tls.address=127.0.0.1:0")
	b := s.serve()
	secure, fingerprint := b.secureURL()
	root := fetchRoot(t, b.url, fingerprint)

	client := trusting(t, root)
	defer client.CloseIdleConnections()
	for _, url := range []string{secure, strings.Replace(secure, "127.0.0.1", "localhost", 1)} {
		resp, err := client.Get(url + "/simple/curd/")
		must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
			t.Errorf("%s: %s over %s", url, resp.Status, resp.Proto)
		}
	}
	if _, err := http.Get(secure + "/simple/"); err == nil {
		t.Error("who has not installed the root trusts it all the same")
	}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(secure, "https://"), &tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil {
		_ = conn.Close()
		t.Error("an old version of TLS is spoken")
	}
	if !strings.Contains(s.succeed("status").stdout, fingerprint) {
		t.Error("the status does not tell the fingerprint")
	}
	info, err := os.Stat(filepath.Join(s.data, "authority.pem"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key of the authority has mode %v", info.Mode())
	}

	m := available(t)
	p := m.pips[len(m.pips)-1]
	bundle := filepath.Join(t.TempDir(), "root.pem")
	must(t, os.WriteFile(bundle, root, 0o644))
	named := strings.Replace(secure, "127.0.0.1", "localhost", 1) // pip 24.2 cannot have https at an address
	pip := exec.Command(p.python.Path, "-m", "pip", "download", "--no-cache-dir", "--disable-pip-version-check", "--no-deps",
		"--cert", bundle, "--index-url", named+"/simple/", "--dest", t.TempDir(), "curd")
	pip.Env = environment("PYTHONPATH="+p.folder, "REQUESTS_CA_BUNDLE=", "CURL_CA_BUNDLE=") // they would count more than --cert
	if out, err := pip.CombinedOutput(); err != nil {
		t.Errorf("pip over https: %v\n%s", err, out)
	}

	moved := filepath.Join(t.TempDir(), "moved")
	s.succeed("move", moved, "--remove-old")
	if _, err := os.Stat(filepath.Join(s.data, "authority.pem")); err == nil {
		t.Error("the key is left behind in the old folder")
	}
	b.quit()
	s.data = moved
	b = s.serve()
	if _, again := b.secureURL(); again != fingerprint {
		t.Error("after a move another authority is there")
	}
	b.quit()
}

// fetchRoot gets the root certificate over http and compares its fingerprint.
func fetchRoot(t *testing.T, url, fingerprint string) []byte {
	t.Helper()
	resp, err := http.Get(url + "/ca.crt")
	must(t, err)
	root, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	block, rest := pem.Decode(root)
	if block == nil || len(rest) > 0 || strings.Contains(string(root), "PRIVATE") {
		t.Fatalf("the root is %s", root)
	}
	sum := sha256.Sum256(block.Bytes)
	if strings.ToUpper(hex.EncodeToString(sum[:])) != strings.ReplaceAll(fingerprint, ":", "") {
		t.Error("the root has another fingerprint than the console says")
	}
	return root
}

// trusting is a client that has installed a root, and nothing else.
func trusting(t *testing.T, root []byte) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		t.Fatal("the root is no PEM")
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true,
	}}
}

// TestTLSOfOthers serves by a certificate from files, and says what is wrong with
// settings that are half.
func TestTLSOfOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	o := s.run("serve", "--listen", "127.0.0.1:0", "--set", "tls.address=127.0.0.1:0", "--set", "tls.certificate=/nowhere.pem")
	if o.status != 1 || !strings.Contains(o.stderr, "both") {
		t.Errorf("%d %s", o.status, o.stderr)
	}
	o = s.run("serve", "--listen", "127.0.0.1:0", "--set", "tls.address=127.0.0.1:0", "--set", "tls.certificate=/nowhere.pem", "--set", "tls.key=/nowhere.key")
	if o.status != 1 || !strings.Contains(o.stderr, "nowhere.pem") {
		t.Errorf("%d %s", o.status, o.stderr)
	}
}
