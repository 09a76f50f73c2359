package app

import (
	"context"
	"errors"
	"time"

	"cheeseboard/httpd/integrity"
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
