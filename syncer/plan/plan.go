// Package plan decides, and does nothing: which files of a project a selection
// wants, what those need, and what an upstream's new page may change. Every
// function is pure.
package plan

import (
	"fmt"
	"slices"
	"strings"

	"cheeseboard/storage/pypi"
)

// Sdists says which source distributions are wanted.
type Sdists int8

// The modes for source distributions.
const (
	SdistsWhenNoWheel Sdists = iota // where a release has no wheel for a target
	SdistsAlways                    // beside every chosen release
	SdistsNever
)

// Any is the platform of a target that takes pure wheels only.
const Any = "any"

// Target is one kind of machine that installs from the box.
type Target struct {
	name   string
	order  pypi.TagOrder
	pure   bool
	python []pypi.Version     // versions that stand for it: the least and the greatest micro release
	envs   []pypi.Environment // likewise, for markers
}

// NewTarget makes a target from a version of Python ("3.11" or "3.11.7") and a
// platform as pypi.ParsePlatform reads it, or Any.
func NewTarget(python, platform string) (Target, error) {
	t := Target{name: python + " on " + platform, pure: platform == Any}
	if t.pure {
		platform = "linux-x86_64" // for the tags of pure wheels and the markers
	}
	p, err := pypi.ParsePlatform(platform)
	if err != nil {
		return t, err
	}
	target, err := pypi.NewTarget(python, p)
	if err != nil {
		return t, err
	}
	t.order = pypi.NewTagOrder(target)
	micros := []string{python}
	if strings.Count(python, ".") == 1 {
		micros = []string{python + ".0", python + ".999"}
	}
	for _, m := range micros {
		v, err := pypi.ParseVersion(m)
		if err != nil {
			return t, err
		}
		t.python = append(t.python, v)
		env, err := pypi.NewEnvironment(m, p)
		if err != nil {
			return t, err
		}
		t.envs = append(t.envs, env)
	}
	return t, nil
}

// NewTargets makes the targets of every version of Python on every platform.
// Any is left out where it stands beside others: each of them takes pure wheels.
func NewTargets(pythons, platforms []string) ([]Target, error) {
	var out []Target
	for _, platform := range platforms {
		if platform == Any && len(platforms) > 1 {
			continue
		}
		for _, python := range pythons {
			t, err := NewTarget(python, platform)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
	}
	return out, nil
}

func (t Target) String() string { return t.name }

// Policy says what of a project is wanted.
type Policy struct {
	Latest      int // newest releases for each requirement and target; 0: all
	Prereleases bool
	Sdists      Sdists
	Targets     []Target
	MaxFileSize int64 // bytes; 0: no limit
}

// Choice is one file that is wanted.
type Choice struct {
	File    pypi.File
	Targets []int // into Policy.Targets: those that it was chosen for
}

// Plan is what is wanted of one project.
type Plan struct {
	Choices []Choice // in the order of the page
	Notes   []string // what a person should know: nothing matches, too large
}

// release is one version of a project with the files that bring it.
type release struct {
	version pypi.Version
	files   []candidate
}

type candidate struct {
	index int // into the page's files
	kind  pypi.DistributionKind
	tags  []pypi.Tag
	build pypi.BuildTag
	spec  *pypi.Specifiers // of requires-python; nil: none, or it cannot be read
}

// Choose picks what a selection wants of a project: for each requirement and
// each target the newest releases that the target can install, as pip would
// choose them, and of each the wheel that it prefers.
func Choose(p *pypi.Project, requirements []pypi.Requirement, policy Policy) Plan {
	var plan Plan
	if p.Status.State == pypi.StatusQuarantined {
		plan.Notes = append(plan.Notes, "the project is quarantined: it offers no files")
		return plan
	}
	var tooLarge []string
	wanted := make(map[int]map[int]bool) // file → targets
	take := func(file, target int) {
		f := &p.Files[file]
		if policy.MaxFileSize > 0 && f.Size > policy.MaxFileSize {
			if !slices.Contains(tooLarge, f.Filename) {
				tooLarge = append(tooLarge, f.Filename)
			}
			return
		}
		if wanted[file] == nil {
			wanted[file] = make(map[int]bool)
		}
		wanted[file][target] = true
	}
	for _, req := range requirements {
		releases := matching(p, req, policy)
		served := 0
		for i, target := range policy.Targets {
			n := 0
			for _, r := range releases {
				if policy.Latest > 0 && n == policy.Latest {
					break
				}
				if files := target.pick(r, policy.Sdists); len(files) > 0 {
					n++
					for _, f := range files {
						take(f, i)
					}
				}
			}
			served += n
		}
		if served == 0 {
			plan.Notes = append(plan.Notes, fmt.Sprintf("nothing on the page matches %s for the chosen versions of Python and platforms", Text(req)))
		}
	}
	for _, name := range tooLarge {
		plan.Notes = append(plan.Notes, name+" is larger than sync.max-file-size")
	}
	for file := range p.Files {
		if targets := wanted[file]; targets != nil {
			c := Choice{File: p.Files[file]}
			for t := range targets {
				c.Targets = append(c.Targets, t)
			}
			slices.Sort(c.Targets)
			plan.Choices = append(plan.Choices, c)
		}
	}
	return plan
}

// Text writes a requirement as its name with extras and specifiers.
func Text(r pypi.Requirement) string {
	s := string(r.Name)
	if len(r.Extras) > 0 {
		s += "[" + strings.Join(r.Extras, ",") + "]"
	}
	return s + r.Specifiers.String()
}

// matching lists the releases that a requirement allows, newest first. Files
// that cannot be verified, or of a form that pip does not install, count for
// nothing; neither do yanked ones, unless the requirement names the one version
// (PEP 592).
func matching(p *pypi.Project, req pypi.Requirement, policy Policy) []release {
	exact := pins(req.Specifiers)
	byVersion := make(map[string]*release)
	var all []*release
	for i := range p.Files {
		f := &p.Files[i]
		if _, ok := f.Hashes.SHA256(); !ok || f.Yanked.Is && !exact {
			continue
		}
		version, kind, err := pypi.DistributionVersion(p.Name, f.Filename)
		if err != nil || kind == pypi.KindOther {
			continue
		}
		c := candidate{index: i, kind: kind}
		if kind == pypi.KindWheel {
			w, err := pypi.ParseWheelFilename(f.Filename)
			if err != nil {
				continue
			}
			c.tags, c.build = w.Tags, w.Build
		}
		if f.RequiresPython != "" {
			if spec, err := pypi.ParseSpecifiers(f.RequiresPython); err == nil {
				c.spec = &spec
			}
		}
		key := version.String()
		if byVersion[key] == nil {
			byVersion[key] = &release{version: version}
			all = append(all, byVersion[key])
		}
		byVersion[key].files = append(byVersion[key].files, c)
	}
	rule := pypi.PrereleasesIfNeeded
	if policy.Prereleases {
		rule = pypi.PrereleasesAlways
	}
	fit := pypi.FilterBy(req.Specifiers, all, func(r *release) pypi.Version { return r.version }, rule)
	slices.SortStableFunc(fit, func(a, b *release) int { return b.version.Compare(a.version) })
	out := make([]release, len(fit))
	for i, r := range fit {
		out[i] = *r
	}
	return out
}

// pins tells whether specifiers name one version, as "==1.0" and "===1.0" do.
func pins(s pypi.Specifiers) bool {
	for one := range strings.SplitSeq(s.String(), ",") {
		if strings.HasPrefix(one, "==") && !strings.HasSuffix(one, ".*") {
			return true
		}
	}
	return false
}

// pick chooses the files of a release that a target needs; none where it cannot
// install the release.
func (t Target) pick(r release, mode Sdists) []int {
	wheel, rank := -1, 0
	var build pypi.BuildTag
	var sdists []int
	for _, c := range r.files {
		if !t.runs(c.spec) {
			continue
		}
		if c.kind == pypi.KindSdist {
			sdists = append(sdists, c.index)
			continue
		}
		n, ok := t.order.Rank(c.tags)
		if !ok || t.pure && !isPure(c.tags) {
			continue
		}
		if wheel < 0 || n < rank || n == rank && c.build.Compare(build) > 0 {
			wheel, rank, build = c.index, n, c.build
		}
	}
	var out []int
	if wheel >= 0 {
		out = append(out, wheel)
	}
	if mode == SdistsAlways || mode == SdistsWhenNoWheel && wheel < 0 {
		out = append(out, sdists...)
	}
	return out
}

func isPure(tags []pypi.Tag) bool {
	return slices.ContainsFunc(tags, func(t pypi.Tag) bool { return t.Platform == "any" })
}

// runs tells whether any micro release that the target stands for is allowed.
func (t Target) runs(spec *pypi.Specifiers) bool {
	if spec == nil {
		return true
	}
	return slices.ContainsFunc(t.python, func(v pypi.Version) bool {
		return spec.Contains(v, pypi.PrereleasesAlways)
	})
}

// Dependencies lists what a distribution needs on any of the targets that it was
// chosen for, with the extras that were asked for. Requirements that name an
// address are left out: they do not come from an index.
func Dependencies(m pypi.CoreMetadataFields, extras []string, targets []Target) []pypi.Requirement {
	var out []pypi.Requirement
	for _, r := range m.RequiresDist {
		if r.URL != "" {
			continue
		}
		needed := r.Marker == nil || slices.ContainsFunc(targets, func(t Target) bool {
			return slices.ContainsFunc(t.envs, func(env pypi.Environment) bool { return r.Wanted(env, extras) })
		})
		if needed {
			r.Marker = nil
			out = append(out, r)
		}
	}
	return out
}
