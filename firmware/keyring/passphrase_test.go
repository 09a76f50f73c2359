package keyring

import (
	"strings"
	"testing"
)

func TestPassphrase(t *testing.T) {
	first := GeneratePassphrase()
	if err := CheckPassphrase(first); err != nil || len(first) != 19 || first == GeneratePassphrase() {
		t.Errorf("%q, %v", first, err)
	}
	hash := HashPassphrase(first)
	if hash == HashPassphrase(first) || strings.Contains(hash, first) || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%q", hash)
	}
	if !IsPassphrase(hash, first) {
		t.Error("the right one is wrong")
	}
	for _, wrong := range []string{"", first + "x", strings.ToUpper(first), hash, strings.Repeat("x", 1<<20)} {
		if IsPassphrase(hash, wrong) {
			t.Errorf("%.20q is right", wrong)
		}
	}
	for _, other := range []string{"", "$", first, strings.Replace(hash, "m=19456", "m=99999999", 1), strings.Replace(hash, "argon2id", "argon2i", 1), hash[:len(hash)-4]} {
		if IsPassphrase(other, first) {
			t.Errorf("%.40q is a hash", other)
		}
	}
}

func TestCheckPassphrase(t *testing.T) {
	for _, good := range []string{"12345678", "käsebrett", strings.Repeat("ab", 100)} {
		if err := CheckPassphrase(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "1234567", "11111111", "line\nbreak", "\xff\xff\xff\xff12345678", strings.Repeat("ab", 101)} {
		if CheckPassphrase(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
