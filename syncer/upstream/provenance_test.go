package upstream_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
)

func TestCheckProvenance(t *testing.T) {
	const right, wrong = "aa", "bb"
	digest, err := pypi.ParseDigest(strings.Repeat(right, 32))
	if err != nil {
		t.Fatal(err)
	}
	statement := func(digits ...string) string {
		var subjects []string
		for _, d := range digits {
			subjects = append(subjects, fmt.Sprintf(`{"name":"x","digest":{"sha256":%q}}`, strings.Repeat(d, 32)))
		}
		return base64.StdEncoding.EncodeToString([]byte(`{"subject":[` + strings.Join(subjects, ",") + `]}`))
	}
	attestation := func(s string) string { return `{"version":1,"envelope":{"statement":"` + s + `"}}` }
	whole := func(list ...string) string {
		return `{"version":1,"attestation_bundles":[{"attestations":[` + strings.Join(list, ",") + `]}]}`
	}
	for text, want := range map[string]string{
		whole(attestation(statement(right))):                                "",
		whole(attestation(statement(wrong, right))):                         "",
		whole(attestation(statement(right)), attestation(statement(right))): "",
		whole(attestation(statement(wrong))):                                "of other bytes",
		whole(attestation(statement(right)), attestation(statement(wrong))): "of other bytes",
		whole(attestation(statement())):                                     "of other bytes",
		whole():                                                             "no attestations",
		whole(attestation("!")):                                             "base64",
		whole(attestation("aGVsbG8=")):                                      "read a statement",
		`{"version":1,"attestation_bundles":[]}`:                            "0 bundles",
		strings.Replace(whole(attestation(statement(right))), `"version":1`, `"version":2`, 1): "version 2",
		"<html>login</html>": "no JSON",
		"":                   "no JSON",
		whole(attestation(statement(right))) + strings.Repeat(" ", upstream.MaxProvenance): "more than",
	} {
		err := upstream.CheckProvenance([]byte(text), digest)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s: %v, want %q", text, err, want)
		}
	}
}
