// Package keyring keeps the tokens by which somebody may upload, or read where not
// everybody may. A token is 130 random bits, so that a plain digest of it can be
// stored: nobody finds it by guessing.
package keyring

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// Scope is what a token is good for.
type Scope string

// The scopes.
const (
	Upload Scope = "upload" // and to read
	Read   Scope = "read"
)

// prefix begins each token, so that those who search code for secrets find it.
const prefix = "cheeseboard-"

// most bounds how many tokens there are.
const most = 200

// Token is what is kept of one.
type Token struct {
	ID    string    `json:"id"`   // to speak of it
	Name  string    `json:"name"` // whose it is, or what for
	Scope Scope     `json:"scope"`
	Names []string  `json:"names,omitempty"` // patterns of what may be uploaded; none: all that are ours
	Hash  string    `json:"hash"`            // SHA-256, 64 hex digits
	Made  time.Time `json:"made"`
}

// May tells whether a token is good for uploading a name.
func (t Token) May(name pypi.Name) bool {
	if t.Scope != Upload {
		return false
	}
	return len(t.Names) == 0 || slices.ContainsFunc(t.Names, func(p string) bool { return pypi.NamePattern(p).Match(name) })
}

// Ring is a set of tokens. It is not safe for concurrent use.
type Ring struct {
	Tokens []Token `json:"tokens"`
}

// Parse reads what Marshal gave; nil is an empty ring.
func Parse(raw []byte) (Ring, error) {
	var r Ring
	if raw == nil {
		return r, nil
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("read tokens: %w", err)
	}
	return r, nil
}

// Marshal writes the ring down. No token can be read out of it.
func (r Ring) Marshal() ([]byte, error) { return json.Marshal(r) }

// Add makes a token. The secret is shown once, and not kept. names are patterns of
// what may be uploaded by it; none: all that are ours.
func (r *Ring) Add(name string, scope Scope, names []string, now time.Time) (secret string, t Token, err error) {
	name = strings.TrimSpace(name)
	switch {
	case scope != Upload && scope != Read:
		return "", t, fmt.Errorf("add a token: %q is neither %s nor %s", scope, Upload, Read)
	case name == "" || len(name) > 100 || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "", t, fmt.Errorf("add a token: say whose it is, in 1 to 100 characters, such as \"build server\"")
	case len(r.Tokens) >= most:
		return "", t, fmt.Errorf("add a token: there are %d already; remove those that nobody needs", most)
	case scope == Read && len(names) > 0:
		return "", t, fmt.Errorf("add a token: one for reading is good for all projects")
	}
	t = Token{ID: strings.ToLower(rand.Text()[:8]), Name: name, Scope: scope, Made: now.UTC().Truncate(time.Second)}
	for _, n := range names {
		p, err := pypi.ParseNamePattern(n)
		if err != nil {
			return "", t, fmt.Errorf("add a token: %w", err)
		}
		t.Names = append(t.Names, string(p))
	}
	secret = prefix + rand.Text()
	t.Hash = digest(secret)
	r.Tokens = append(slices.Clip(r.Tokens), t)
	return secret, t, nil
}

// Remove takes a token out, by its ID or its name where only one has it.
func (r *Ring) Remove(which string) (Token, error) {
	is := func(t Token) bool { return t.ID == which }
	if !slices.ContainsFunc(r.Tokens, is) {
		is = func(t Token) bool { return t.Name == which }
	}
	var out []Token
	var removed []Token
	for _, t := range r.Tokens {
		if is(t) {
			removed = append(removed, t)
			continue
		}
		out = append(out, t)
	}
	if len(removed) != 1 {
		return Token{}, fmt.Errorf("remove the token %q: %d tokens are called so; cheeseboard token list shows them with their IDs", which, len(removed))
	}
	r.Tokens = out
	return removed[0], nil
}

// Find gives the token of a secret. It takes as long whichever it is, or none.
func (r Ring) Find(secret string) (Token, bool) {
	got := []byte(digest(secret))
	at := -1
	for i, t := range r.Tokens {
		if subtle.ConstantTimeCompare(got, []byte(t.Hash)) == 1 {
			at = i
		}
	}
	if at < 0 {
		return Token{}, false
	}
	return r.Tokens[at], true
}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
