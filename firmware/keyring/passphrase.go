package keyring

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// What a passphrase costs to try: 19 MiB of memory, twice over, on one processor.
// Whoever calls tries one at a time: a board may have 512 MB in all.
const (
	hashMemory = 19 << 10 // KiB
	hashTime   = 2
	hashLength = 32
)

// Bounds of a passphrase, in characters and in bytes.
const (
	MinPassphrase = 8
	MaxPassphrase = 200
)

// CheckPassphrase refuses what is too short to hold up those who guess slowly, and
// what cannot be typed.
func CheckPassphrase(s string) error {
	switch {
	case utf8.RuneCountInString(s) < MinPassphrase:
		return fmt.Errorf("a passphrase has at least %d characters", MinPassphrase)
	case len(s) > MaxPassphrase || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("a passphrase is one line of at most %d bytes", MaxPassphrase)
	case strings.Count(s, s[:1]) == len(s):
		return errors.New("a passphrase has more than one character, again and again")
	}
	return nil
}

// GeneratePassphrase makes one of 80 random bits, to be read and typed.
func GeneratePassphrase() string {
	t := strings.ToLower(rand.Text())
	return t[:4] + "-" + t[4:8] + "-" + t[8:12] + "-" + t[12:16]
}

// HashPassphrase makes what is kept of a passphrase: argon2id (RFC 9106) with a salt,
// in the form of password hashes that others use too.
func HashPassphrase(s string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	sum := argon2.IDKey([]byte(s), salt, hashTime, hashMemory, 1, hashLength)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, hashMemory, hashTime, encode(salt), encode(sum))
}

// IsPassphrase tells whether s is the passphrase of which a hash was kept. Only
// hashes of HashPassphrase are known: none that cost more than this board has.
func IsPassphrase(hash, s string) bool {
	parts := strings.Split(hash, "$")
	form := fmt.Sprintf("m=%d,t=%d,p=1", hashMemory, hashTime)
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) || parts[3] != form || len(s) > MaxPassphrase {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) != hashLength {
		return false
	}
	return subtle.ConstantTimeCompare(argon2.IDKey([]byte(s), salt, hashTime, hashMemory, 1, hashLength), want) == 1
}
