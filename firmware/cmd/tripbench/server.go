package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"cheeseboard/syncer/farline"
	"cheeseboard/syncer/upstreamtest"
)

// bulkPath answers with as many bytes as the query says.
const bulkPath = "/bulk"

// streams is how many requests PyPI's file host lets a connection of HTTP/2 have.
const streams = 100

// server is the index at the far end of a line. As PyPI, it has one host for the
// pages and another one for the files.
type server struct {
	index *upstreamtest.Server
	http  *http.Server
	pages string // base of the URLs
	files string
	cert  []byte // DER; nil in clear

	serving sync.WaitGroup

	mu     sync.Mutex
	open   int
	opened int
	most   int
}

// serve starts the index of a course at the far end.
func serve(line *farline.Line, c course) (_ *server, err error) {
	s := &server{index: upstreamtest.NewServer(c.load.index)}
	s.http = &http.Server{
		ReadHeaderTimeout: time.Minute, ConnState: s.count,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streams},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // who goes away is none
	}
	scheme := "http://"
	if c.secured {
		scheme = "https://"
		certificate, err := s.certify(line.Far().Address().AsSlice())
		if err != nil {
			return nil, err
		}
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	}
	var listeners []net.Listener
	for _, base := range []*string{&s.pages, &s.files} {
		l, err := line.Far().Listen(0)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		listeners = append(listeners, l)
		*base = scheme + l.Addr().String()
	}
	s.http.Handler = s.handler(listeners[1].Addr().String())
	for _, l := range listeners {
		s.serving.Go(func() {
			if c.secured {
				_ = s.http.ServeTLS(l, "", "") // until close
			} else {
				_ = s.http.Serve(l)
			}
		})
	}
	return s, nil
}

// handler answers for both hosts. The pages name the files' host, as the index
// takes it to be the one that was asked.
func (s *server) handler(files string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(bulkPath, sendBulk)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		r.Host = files
		s.index.ServeHTTP(w, r)
	})
	return mux
}

func (s *server) close() error {
	err := errors.Join(s.http.Close(), s.index.Close())
	s.serving.Wait()
	return err
}

// sendBulk sends so many bytes in one answer.
func sendBulk(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.RawQuery, 10, 64)
	if err != nil {
		http.Error(w, "how many bytes?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	_, _ = io.Copy(w, upstreamtest.Bulk{Size: n}.Content()) // the client looks at what came
}

func (s *server) count(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.open++
		s.opened++
		s.most = max(s.most, s.open)
	case http.StateClosed, http.StateHijacked:
		s.open--
	}
}

// connections tells how many there were, and how many at the same time.
func (s *server) connections() (opened, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.most
}

// certify makes a certificate for an address that vouches for itself.
func (s *server) certify(ip net.IP) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "tripbench"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IPAddresses: []net.IP{ip},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	if s.cert, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key); err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{s.cert}, PrivateKey: key}, nil
}

// writeCertificate writes it in PEM form, for the clients to trust.
func (s *server) writeCertificate(path string) error {
	if s.cert == nil {
		return nil
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert}), 0o644)
}

// bulkURL is where so many bytes are.
func (s *server) bulkURL(n int64) string { return fmt.Sprintf("%s%s?%d", s.files, bulkPath, n) }

// fileURL is where a file of the index is.
func (s *server) fileURL(filename string) string { return s.files + s.index.Index.Path(filename) }

// indexURL is where the index is.
func (s *server) indexURL() string { return s.pages + "/simple/" }
