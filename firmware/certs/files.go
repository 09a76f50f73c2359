package certs

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Files gives a certificate that lies in files, and reads it again when these have
// changed. It is safe for concurrent use.
type Files struct {
	certificate, key string
	log              *slog.Logger
	now              func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	stamp  [2]stamp // of the files when they were read
	looked time.Time
}

// stamp tells two contents of a file apart.
type stamp struct {
	at   time.Time
	size int64
}

// Open reads a certificate, with those between it and its root behind it, and its
// key: PEM.
func Open(certificate, key string, log *slog.Logger) (*Files, error) {
	f := &Files{certificate: certificate, key: key, log: log, now: time.Now}
	stamps, err := f.stamps()
	if err == nil {
		err = f.read(stamps)
	}
	if err != nil {
		return nil, fmt.Errorf("read tls.certificate and tls.key: %w", err)
	}
	f.looked = f.now()
	return f, nil
}

func (f *Files) stamps() (s [2]stamp, err error) {
	for i, path := range []string{f.certificate, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

func (f *Files) read(stamps [2]stamp) error {
	pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return err
	}
	f.pair, f.stamp = &pair, stamps
	return nil
}

// Certificate gives the certificate. One that cannot be read, as while it is being
// replaced, leaves the one before it in use.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked) >= lookEvery || now.Before(f.looked) {
		f.looked = now
		stamps, err := f.stamps()
		if err == nil && stamps != f.stamp {
			err = f.read(stamps)
		}
		if err != nil {
			f.log.Warn("the certificate cannot be read again; the one before it goes on", "reason", err)
		}
	}
	return f.pair, nil
}
