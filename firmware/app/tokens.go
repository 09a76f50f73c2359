package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/keyring"
	"cheeseboard/httpd/upload"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
)

// Token is what is kept of a token.
type Token = keyring.Token

// TokenOrder is what the command token wants done. One of Add and Remove is set, or
// none, to have the tokens listed.
type TokenOrder struct {
	Add    *NewToken `json:"add,omitempty"`
	Remove string    `json:"remove,omitempty"` // an ID, or a name that only one has
}

// NewToken is a token to be made.
type NewToken struct {
	Name  string        `json:"name"`
	Scope keyring.Scope `json:"scope"`
	Names []string      `json:"names,omitempty"` // patterns; none: all that are ours
}

// The scopes of a token.
const (
	TokenUpload = keyring.Upload
	TokenRead   = keyring.Read
)

// TokenAnswer is what became of a TokenOrder.
type TokenAnswer struct {
	Secret  string  `json:"secret,omitempty"` // of the one that was made; it is not kept
	Made    *Token  `json:"made,omitempty"`
	Removed *Token  `json:"removed,omitempty"`
	Tokens  []Token `json:"tokens"` // all that there are now
}

// keys are the tokens of an open store.
type keys struct {
	store *storage.Store

	mu   sync.Mutex
	ring keyring.Ring
}

const keysKey = "tokens"

// loadKeys reads the tokens. Those that are damaged are good for nothing, and do not
// keep the box from serving.
func loadKeys(store *storage.Store) (*keys, error) {
	k := &keys{store: store}
	raw, err := store.Value(keysKey)
	if errors.Is(err, storage.ErrDamaged) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	k.ring, err = keyring.Parse(raw)
	return k, err
}

// find gives the token of a secret.
func (k *keys) find(secret string) (Token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ring.Find(secret)
}

// Uploader implements upload.Keys.
func (k *keys) Uploader(secret string) (upload.Key, bool) {
	t, ok := k.find(secret)
	return upload.Key{Name: t.Name, May: func(name pypi.Name) bool { return t.May(name) }}, ok && t.Scope == keyring.Upload
}

// carryOut changes the tokens; durable when it returns.
func (k *keys) carryOut(o TokenOrder, now time.Time) (a TokenAnswer, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ring := k.ring
	switch {
	case o.Add != nil:
		var t Token
		a.Secret, t, err = ring.Add(o.Add.Name, o.Add.Scope, o.Add.Names, now)
		a.Made = &t
	case o.Remove != "":
		var t Token
		t, err = ring.Remove(o.Remove)
		a.Removed = &t
	default:
		a.Tokens = ring.Tokens
		return a, nil
	}
	if err != nil {
		return TokenAnswer{}, err
	}
	raw, err := ring.Marshal()
	if err == nil {
		err = k.store.SetValue(keysKey, raw)
	}
	if err != nil {
		return TokenAnswer{}, fmt.Errorf("write tokens down: %w", err)
	}
	k.ring, a.Tokens = ring, ring.Tokens
	return a, nil
}

// serveTokens carries out orders that come through the control socket.
func (a *App) serveTokens(w http.ResponseWriter, r *http.Request) {
	serveOrder(a, w, r, func(o TokenOrder) (TokenAnswer, error) { return a.keys.carryOut(o, time.Now()) })
}

// RunToken makes, removes or lists tokens: in the box that serves this data folder,
// or by itself. The first one may be made before there is a folder.
func RunToken(ctx context.Context, c config.Config, log *slog.Logger, o TokenOrder) (TokenAnswer, error) {
	usable := existing
	if o.Add != nil {
		usable = func(config.Config) error { return nil }
	}
	return runOrder(ctx, c, log, "/tokens", o, usable, func(a *App) (TokenAnswer, error) {
		return a.keys.carryOut(o, time.Now())
	})
}
