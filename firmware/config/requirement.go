package config

import (
	"strconv"
	"strings"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/policy"
)

// checkRequirement accepts a requirement (PEP 508) that names a project of the
// index. The text is kept as it was written, so that it is printed like that;
// whoever plans a sync parses it again with pypi.ParseRequirement.
func checkRequirement(s string) string {
	const want = `a requirement such as "numpy>=2,<3" or "uvicorn[standard]"`
	r, err := pypi.ParseRequirement(s)
	switch {
	case err != nil:
		return want + reason(err, s)
	case r.URL != "":
		return want + ", without a URL: only what the index has is mirrored"
	}
	return ""
}

func checkBlock(s string) string {
	if _, err := policy.ParseBlock(s); err != nil {
		return `a project, versions of it or a digest, and a reason, such as "numpy==2.0.1 # wrong results"` + reason(err, s)
	}
	return ""
}

func checkAllow(s string) string {
	if _, err := policy.ParseAllow(s); err != nil {
		return `a project, versions of it, or a pattern of names, such as "requests==2.32.4" or "corp-*"` + reason(err, s)
	}
	return ""
}

// checkNamePattern accepts what pypi.ParseNamePattern reads.
func checkNamePattern(s string) string {
	if _, err := pypi.ParseNamePattern(s); err != nil {
		return `a name, or the beginning of names, such as "acme-*"` + reason(err, s)
	}
	return ""
}

// checkPlatform accepts "any", which stands for wheels without compiled code,
// and what pypi.ParsePlatform reads.
func checkPlatform(s string) string {
	if s == "any" {
		return ""
	}
	if _, err := pypi.ParsePlatform(s); err != nil {
		return `"any" or a platform such as "linux-aarch64"` + reason(err, s)
	}
	return ""
}

// reason is what an error says of the text s, in parentheses, without the text
// itself, which the message shows already. It says nothing of text that holds a
// password, since it might quote a part of it.
func reason(err error, s string) string {
	if secret().MatchString(s) {
		return ""
	}
	said := err.Error()
	if _, after, ok := strings.Cut(said, strconv.Quote(s)+": "); ok {
		said = after
	}
	return " (" + oneLine(said) + ")"
}
