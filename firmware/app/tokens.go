package app

import (
	"bytes"
	"context"
	"encoding/json"
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
	var o TokenOrder
	err := json.NewDecoder(r.Body).Decode(&o)
	var answer TokenAnswer
	if err == nil {
		answer, err = a.keys.carryOut(o, time.Now())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.sendJSON(w, answer)
}

// RunToken makes, removes or lists tokens: in the box that serves this data folder,
// or by itself.
func RunToken(ctx context.Context, c config.Config, log *slog.Logger, o TokenOrder) (answer TokenAnswer, err error) {
	if c, err = located(c); err != nil {
		return answer, err
	}
	if remote, ok := dial(ctx, c.Data); ok {
		return answer, remote.order(ctx, "/tokens", o, &answer)
	}
	if o.Add == nil {
		if err := existing(c); err != nil {
			return answer, err
		}
	}
	err = once(c, log, false, func(a *App) (err error) {
		answer, err = a.keys.carryOut(o, time.Now())
		return err
	})
	return answer, err
}

// order has the box that serves do something that is done at once.
func (r *remote) order(ctx context.Context, path string, order, answer any) error {
	resp, err := r.do(ctx, http.MethodPost, path, order)
	if err != nil {
		return err
	}
	var raw bytes.Buffer
	_, err = raw.ReadFrom(http.MaxBytesReader(nil, resp.Body, 4<<20))
	if err == nil {
		err = json.Unmarshal(raw.Bytes(), answer)
	}
	return errors.Join(err, resp.Body.Close())
}
