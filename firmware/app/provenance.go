package app

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/httpd/integrity"
	"cheeseboard/httpd/simple"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
)

// storeAttestations keeps attestations in the store.
type storeAttestations struct{ *storage.Store }

func (s storeAttestations) SetAttestation(digest pypi.Digest, raw []byte) error {
	return translate(s.Store.SetAttestation(digest, raw))
}

// frontProvenance gives out attestations from an engine.
type frontProvenance struct {
	engine *syncer.Engine
	space  space
}

func (x frontProvenance) Provenance(ctx context.Context, name pypi.Name, filename string) ([]byte, error) {
	if reason := x.space.foreign(name); reason != "" {
		return nil, &integrity.Missing{Reason: reason}
	}
	raw, err := x.engine.Provenance(ctx, name, filename)
	var absent *syncer.Absent
	if errors.As(err, &absent) {
		return nil, &integrity.Missing{Reason: absent.Reason, RetryAfter: absent.RetryAfter}
	}
	return raw, err
}

// integrityBase is the absolute address of an index's attestations, where this box has
// a name and speaks https; "" where it does not.
func integrityBase(c config.Config, index string) string {
	_, port, err := net.SplitHostPort(c.TLS.Address)
	if err != nil || port == "0" || c.Serve.Name == "" {
		return ""
	}
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(c.Serve.Name, port), Path: integrity.Path}
	if port == "443" {
		if u.Host = c.Serve.Name; strings.Contains(u.Host, ":") {
			u.Host = "[" + u.Host + "]"
		}
	}
	if index != "" {
		u.Path = "/" + index + u.Path
	}
	return u.String()
}

// attested has a page name this box for the attestations of files, where it can be
// named.
func (s space) attested(name pypi.Name, page simple.Page) simple.Page {
	if s.integrity == "" || page.Visit == nil {
		return page
	}
	sum := fnv.New32a()
	_, _ = io.WriteString(sum, s.integrity) // hash.Hash never fails
	visit := page.Visit
	// Neither the name nor the port changes while the box runs: Still holds as it is.
	page.Tag = fmt.Sprintf("%si%x", page.Tag, sum.Sum32())
	page.Visit = func(use func(*pypi.Project, pypi.Files) error) error {
		return visit(func(p *pypi.Project, files pypi.Files) error { return use(p, s.ours(name, files)) })
	}
	return page
}

// ours changes the addresses of attestations to those here.
func (s space) ours(name pypi.Name, files pypi.Files) pypi.Files {
	return func(yield func(*pypi.File, error) bool) {
		for f, err := range files {
			if err == nil && f.Provenance != "" {
				if v, _, err := pypi.DistributionVersion(name, f.Filename); err == nil {
					here := *f // what is visited is only read
					here.Provenance = s.integrity + string(name) + "/" + url.PathEscape(v.String()) + "/" + url.PathEscape(f.Filename) + "/provenance"
					f = &here
				}
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// sweepEvery is the time between two looks for attestations of files that are gone.
const sweepEvery = 24 * time.Hour

// sweepAttestations removes them, once a day. It is called by one goroutine.
func (a *App) sweepAttestations() error {
	if time.Since(a.swept) < sweepEvery || a.Store.ReadOnly() {
		return nil
	}
	swept, err := a.Store.SweepAttestations()
	if err != nil {
		return err
	}
	a.swept = time.Now()
	if swept > 0 {
		a.log.Info("attestations of files that are gone were removed", "count", swept)
	}
	return nil
}
