// Package policy decides which files of an index may be given out on this box: not
// what somebody has blocked, by name, by version or by digest, and not what is younger
// than a cooldown. It does nothing else, knows no clock and has no state.
package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// Options are what the rules are made of.
type Options struct {
	// MinAge is how long ago a file must have been uploaded (PEP 700); 0: no matter.
	MinAge time.Duration
	// Block lists what is not given out, and Allow what MinAge does not hold for, as
	// ParseBlock and ParseAllow read them.
	Block, Allow []string
}

// Rules are what somebody decided. nil and the zero value allow everything. They do
// not change and may be used concurrently.
type Rules struct {
	minAge  time.Duration
	blocks  map[pypi.Name][]Rule
	allowed map[pypi.Name][]Rule
	trusted []pypi.NamePattern     // names that are allowed whatever the version
	digests map[pypi.Digest]string // why these bytes are blocked
	all     string                 // stands for what concerns every project
}

// Rule is one entry of a list: a project, some of its versions, or a digest.
type Rule struct {
	Name     pypi.Name        // "" where it is by digest or by pattern
	Pattern  pypi.NamePattern // of names; "" where it is for one
	Versions pypi.Specifiers
	Digest   pypi.Digest
	Reason   string // a sentence of whoever wrote the rule
}

// Verdict says whether a file may be given out. The zero value means that it may.
type Verdict struct {
	// Reason is a sentence for people; "" where the file may be given out.
	Reason string
	// Until is when the file comes of age; zero where it is not for its age.
	Until time.Time
}

// Given tells whether the file may be given out.
func (v Verdict) Given() bool { return v.Reason == "" }

const digestPrefix = "sha256:"

// ParseBlock reads "WHAT # REASON": a requirement without extras, address and marker,
// as in "numpy==2.0.1 # it loses data", or "sha256:DIGITS # a trojan". Without
// versions the whole project is meant.
func ParseBlock(s string) (Rule, error) {
	what, reason, _ := strings.Cut(s, "#")
	reason = strings.TrimSpace(reason)
	if reason == "" {
		return Rule{}, errors.New("it needs a reason behind a #, for those who ask for it")
	}
	what = strings.TrimSpace(what)
	digits, ok := strings.CutPrefix(what, digestPrefix)
	if !ok {
		r, err := parseRule(what)
		r.Reason = reason
		return r, err
	}
	digest, err := pypi.ParseDigest(digits)
	return Rule{Digest: digest, Reason: reason}, err
}

// ParseAllow reads a requirement without extras, address and marker, or a pattern of
// names such as "corp-*"; what stands behind a # is only for those who read the list.
func ParseAllow(s string) (Rule, error) {
	what, reason, _ := strings.Cut(s, "#")
	what = strings.TrimSpace(what)
	r, err := parseRule(what)
	if err != nil {
		if pattern, patternErr := pypi.ParseNamePattern(what); patternErr == nil {
			r, err = Rule{Pattern: pattern}, nil
		}
	}
	r.Reason = strings.TrimSpace(reason)
	return r, err
}

// parseRule reads a requirement that names a project, or versions of it.
func parseRule(s string) (Rule, error) {
	r, err := pypi.ParseRequirement(s)
	switch {
	case err != nil:
		return Rule{}, err
	case len(r.Extras) > 0 || r.URL != "" || r.Marker != nil:
		return Rule{}, errors.New("only a name and versions can be told apart here: no extras, no address, no marker")
	}
	return Rule{Name: r.Name, Versions: r.Specifiers}, nil
}

// New makes rules; nil where nothing is ruled.
func New(o Options) (*Rules, error) {
	r := &Rules{
		minAge: o.MinAge, blocks: make(map[pypi.Name][]Rule), allowed: make(map[pypi.Name][]Rule), digests: make(map[pypi.Digest]string),
	}
	general := []string{o.MinAge.String()}
	for _, text := range o.Block {
		rule, err := ParseBlock(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read %q: %w", text, err)
		case rule.Name == "":
			r.digests[rule.Digest] = rule.Reason
			general = append(general, text)
		default:
			r.blocks[rule.Name] = append(r.blocks[rule.Name], rule)
		}
	}
	for _, text := range o.Allow {
		rule, err := ParseAllow(text)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", text, err)
		}
		if rule.Pattern != "" {
			r.trusted = append(r.trusted, rule.Pattern)
			continue
		}
		r.allowed[rule.Name] = append(r.allowed[rule.Name], rule)
	}
	if o.MinAge <= 0 && len(o.Block) == 0 {
		return nil, nil
	}
	r.all = strings.Join(general, "\n")
	return r, nil
}

// Project tells whether a whole project is blocked, and why.
func (r *Rules) Project(name pypi.Name) (reason string, blocked bool) {
	if r == nil {
		return "", false
	}
	for _, rule := range r.blocks[name] {
		if rule.Versions.IsEmpty() {
			return fmt.Sprintf("%s is blocked on this cheeseboard: %s", name, rule.Reason), true
		}
	}
	return "", false
}

// File decides on one file of a project at a time.
func (r *Rules) File(name pypi.Name, f *pypi.File, now time.Time) Verdict {
	if r == nil {
		return Verdict{}
	}
	if reason, blocked := r.Project(name); blocked {
		return Verdict{Reason: reason}
	}
	if len(r.digests) > 0 {
		if d, ok := f.Hashes.SHA256(); ok && r.digests[d] != "" {
			return Verdict{Reason: fmt.Sprintf("%s is blocked on this cheeseboard: %s", f.Filename, r.digests[d])}
		}
	}
	for _, rule := range r.blocks[name] {
		if rule.covers(name, f.Filename, true) {
			return Verdict{Reason: fmt.Sprintf("%s is blocked on this cheeseboard (%s%s): %s", f.Filename, name, rule.Versions, rule.Reason)}
		}
	}
	return r.age(name, f, now)
}

// age decides by the time of the upload.
func (r *Rules) age(name pypi.Name, f *pypi.File, now time.Time) Verdict {
	if r.minAge <= 0 {
		return Verdict{}
	}
	until := f.UploadTime.Add(r.minAge)
	if !f.UploadTime.IsZero() && !now.Before(until) {
		return Verdict{}
	}
	for _, rule := range r.allowed[name] {
		if rule.covers(name, f.Filename, false) {
			return Verdict{}
		}
	}
	if r.trusts(name) {
		return Verdict{}
	}
	if f.UploadTime.IsZero() {
		return Verdict{Reason: fmt.Sprintf("%s is held back: the index does not state when it was uploaded, and policy.min-age asks for %s", f.Filename, r.minAge)}
	}
	return Verdict{
		Reason: fmt.Sprintf("%s is held back until %s: it was uploaded on %s, and policy.min-age asks for %s",
			f.Filename, until.UTC().Format(time.RFC3339), f.UploadTime.UTC().Format(time.RFC3339), r.minAge),
		Until: until,
	}
}

// trusts tells whether no file of a project has to be of an age.
func (r *Rules) trusts(name pypi.Name) bool {
	return slices.ContainsFunc(r.trusted, func(p pypi.NamePattern) bool { return p.Match(name) })
}

// covers tells whether a rule of the project means the version of a file. Of a file
// whose name tells none, doubt says.
func (rule Rule) covers(name pypi.Name, filename string, doubt bool) bool {
	if rule.Versions.IsEmpty() {
		return true
	}
	v, _, err := pypi.DistributionVersion(name, filename)
	if err != nil {
		return doubt
	}
	return rule.Versions.Contains(v, pypi.PrereleasesAlways)
}

// Ages tells whether the verdict on a file can change by itself, with time.
func (r *Rules) Ages() bool { return r != nil && r.minAge > 0 }

// Concerns tells whether there is a rule that may leave anything of a project out.
func (r *Rules) Concerns(name pypi.Name) bool {
	return r != nil && (r.minAge > 0 || len(r.digests) > 0 || len(r.blocks[name]) > 0)
}

// Mark is a short text that changes with the rules which concern a project; "" where
// none does. It holds no characters but hexadecimal digits.
func (r *Rules) Mark(name pypi.Name) string {
	if !r.Concerns(name) {
		return ""
	}
	sum := fnv.New64a()
	_, _ = io.WriteString(sum, r.all) // hash.Hash never fails
	if r.trusts(name) {
		_, _ = io.WriteString(sum, "\ntrusted")
	}
	for _, list := range [][]Rule{r.blocks[name], r.allowed[name]} {
		for _, rule := range list {
			_, _ = fmt.Fprintf(sum, "\n%s %q", rule.Versions, rule.Reason)
		}
		_, _ = io.WriteString(sum, "\n")
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// ListMark is a short text that changes with the projects that are blocked as a
// whole.
func (r *Rules) ListMark() string {
	if r == nil {
		return ""
	}
	var both uint64 // whatever the order of the map
	any := false
	for name := range r.blocks {
		if _, blocked := r.Project(name); blocked {
			sum := fnv.New64a()
			_, _ = io.WriteString(sum, string(name)) // hash.Hash never fails
			both += sum.Sum64()
			any = true
		}
	}
	if !any {
		return ""
	}
	return fmt.Sprintf("%016x", both)
}
