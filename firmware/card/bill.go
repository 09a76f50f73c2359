package card

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/firmware/update"
)

// bill is what an image consists of: each part with its version, whose terms it is under,
// and where its source is.
type bill struct {
	version update.Version
	made    time.Time
	parts   []part
	offer   string // of the kernel's source
}

type part struct {
	name, version, purl, source, sum string
	ids                              []string // licences, as SPDX calls them; or a name of our own
	mended                           bool     // by scripts/mend
	texts                            []byte
}

// bill gathers the parts.
func (p Parts) bill(o Options) (*bill, error) {
	b := &bill{version: o.Version, made: o.Made}
	modules, goVersion, err := linked(p.Modules, p.Program, p.Init)
	if err != nil {
		return nil, err
	}
	add := func(it part, dir string) error {
		ids, texts, err := readTerms(dir)
		if len(it.ids) == 0 {
			it.ids = ids
		}
		it.texts = texts
		b.parts = append(b.parts, it)
		return err
	}
	version := strings.TrimPrefix(goVersion, "go")
	version, _, _ = strings.Cut(version, " ")
	if err := add(part{name: "Go standard library", version: version, purl: "pkg:golang/std@" + version, source: "https://go.dev/dl/go" + version + ".src.tar.gz"}, p.GoRoot); err != nil {
		return nil, err
	}
	for _, m := range modules {
		it := part{name: m.Path, version: m.Version, purl: purl(m), source: "https://" + m.Path, sum: m.Sum, mended: m.Replace != nil}
		if err := add(it, m.Dir); err != nil {
			return nil, err
		}
	}
	fw := part{name: "Raspberry Pi boot firmware", version: p.Firmware.Version, purl: purl(p.Firmware), source: "https://github.com/raspberrypi/firmware", sum: p.Firmware.Sum, ids: []string{"LicenseRef-Broadcom-RaspberryPi"}}
	if err := add(fw, p.Firmware.Dir); err != nil {
		return nil, err
	}
	authorities, err := Find(p.Modules, authoritiesModule)
	if err != nil {
		return nil, err
	}
	// The list is Mozilla's; the module that carries it has terms of its own.
	ca := part{name: "Mozilla's list of certificate authorities", version: authorities.Version, purl: purl(authorities), source: "https://" + authoritiesModule, sum: authorities.Sum, ids: []string{"MPL-2.0", "BSD-3-Clause"}}
	if err := add(ca, authorities.Dir); err != nil {
		return nil, err
	}
	if err := p.addChecker(b); err != nil {
		return nil, err
	}
	return b, p.addKernel(b, add)
}

// authoritiesModule is where the list of authorities comes from.
const authoritiesModule = "golang.org/x/crypto/x509roots/fallback"

func purl(m Module) string {
	if m.Version == "" {
		return "pkg:golang/" + m.Path
	}
	return "pkg:golang/" + m.Path + "@" + url.PathEscape(m.Version)
}

// addChecker adds what repairs the data partition. Debian writes down its terms.
func (p Parts) addChecker(b *bill) error {
	texts, err := os.ReadFile(filepath.Join(p.Checker.Dir, "usr", "share", "doc", p.Checker.Path, "copyright"))
	if err != nil {
		return fmt.Errorf("find the licence of %s: %w", p.Checker.Path, err)
	}
	b.parts = append(b.parts, part{
		name: p.Checker.Path, version: p.Checker.Version, texts: texts,
		purl:   "pkg:deb/debian/" + p.Checker.Path + "@" + url.PathEscape(p.Checker.Version) + "?arch=arm64",
		source: "https://snapshot.debian.org/package/e2fsprogs/", ids: []string{"GPL-2.0-only", "LGPL-2.0-only", "BSD-3-Clause", "LGPL-2.1-or-later"},
	})
	return nil
}

// addKernel adds the kernel, whose source we owe to everybody who gets the image.
func (p Parts) addKernel(b *bill, add func(part, string) error) error {
	upstream, err := os.ReadFile(filepath.Join(p.Kernel.Dir, "_build", "upstream-url.txt"))
	if err != nil {
		return fmt.Errorf("find the source of the kernel: %w", err)
	}
	archive := strings.TrimSpace(string(upstream))
	_, tag, _ := strings.Cut(archive, "/tags/")
	tag = strings.TrimSuffix(tag, ".tar.gz")
	b.offer = fmt.Sprintf(`The image contains the Linux kernel, and e2fsck of e2fsprogs with the GNU C library,
which are under the GNU General Public License, version 2, and the GNU Lesser General
Public License. The source of e2fsck is that of Debian's package, at
https://snapshot.debian.org/package/e2fsprogs/ and .../glibc/. The complete source of the
kernel is

    %s

with the configuration and the patches in the folder _build of the Go module

    %s %s
    https://proxy.golang.org/%s/@v/%s.zip

where the program is, too, with which it was built. Whoever gives this image to others
owes them that source. For three years from the day on which you got the image, whoever
gave it to you gives you the source as well, on a usual medium, at no more than the cost
of doing so: ask them.
`, archive, p.Kernel.Path, p.Kernel.Version, p.Kernel.Path, p.Kernel.Version)
	kernel := part{name: "Linux", version: tag, purl: "pkg:github/raspberrypi/linux@" + tag, source: archive, sum: p.Kernel.Sum, ids: []string{"GPL-2.0-only WITH Linux-syscall-note"}}
	return add(kernel, p.Kernel.Dir)
}

// licences are the terms of all parts, as they must accompany the programs.
func (b *bill) licences() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "What cheeseboard %s consists of, and the terms of each part.\n\n", b.version)
	for _, it := range b.parts {
		fmt.Fprintf(&out, "  %s %s: %s\n", it.name, it.version, strings.Join(it.ids, ", "))
	}
	fmt.Fprintf(&out, "\n%s\nThe source of the kernel\n\n%s", rule, b.offer)
	for _, it := range b.parts {
		fmt.Fprintf(&out, "\n%s\n%s %s\n%s\n\n%s", rule, it.name, it.version, it.source, it.texts)
	}
	return out.Bytes()
}

var rule = strings.Repeat("=", 78)

// The document is a bill of materials in the form of CycloneDX 1.6 (ECMA-424).
type (
	cdxDocument struct {
		Schema     string         `json:"$schema"`
		Format     string         `json:"bomFormat"`
		Spec       string         `json:"specVersion"`
		Version    int            `json:"version"`
		Metadata   cdxMetadata    `json:"metadata"`
		Components []cdxComponent `json:"components"`
	}
	cdxMetadata struct {
		Timestamp string       `json:"timestamp"`
		Component cdxComponent `json:"component"`
	}
	cdxComponent struct {
		Type       string         `json:"type"`
		Ref        string         `json:"bom-ref,omitempty"`
		Name       string         `json:"name"`
		Version    string         `json:"version"`
		Purl       string         `json:"purl,omitempty"`
		Licences   []cdxLicence   `json:"licenses,omitempty"`
		References []cdxReference `json:"externalReferences,omitempty"`
		Properties []cdxProperty  `json:"properties,omitempty"`
	}
	cdxLicence struct {
		Licence    *cdxNamed `json:"license,omitempty"`
		Expression string    `json:"expression,omitempty"`
	}
	cdxNamed struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
	cdxReference struct {
		Type    string `json:"type"`
		URL     string `json:"url"`
		Comment string `json:"comment,omitempty"`
	}
	cdxProperty struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

func (b *bill) document() ([]byte, error) {
	d := cdxDocument{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata: cdxMetadata{b.made.UTC().Format(time.RFC3339), cdxComponent{
			Type: "firmware", Name: "cheeseboard", Version: b.version.String(), Licences: []cdxLicence{{Licence: &cdxNamed{ID: "Apache-2.0"}}},
		}},
	}
	for _, it := range b.parts {
		c := cdxComponent{
			Type: "library", Ref: it.purl, Name: it.name, Version: it.version, Purl: it.purl, Licences: licencesOf(it.ids),
			References: []cdxReference{{Type: "source-distribution", URL: it.source}},
		}
		if strings.HasPrefix(it.purl, "pkg:github/raspberrypi/linux") {
			c.Type, c.References[0].Comment = "operating-system", b.offer
		}
		if it.sum != "" {
			c.Properties = []cdxProperty{{"cdx:go:module:sum", it.sum}}
		}
		if it.mended {
			c.Properties = append(c.Properties, cdxProperty{"cheeseboard:mended", "scripts/mend/faults.go says where and why"})
		}
		d.Components = append(d.Components, c)
	}
	raw, err := json.MarshalIndent(d, "", "  ")
	return append(raw, '\n'), err
}

// licencesOf names licences as the form wants it: one expression, or a list.
func licencesOf(ids []string) (list []cdxLicence) {
	for _, id := range ids {
		switch {
		case strings.Contains(id, " "):
			return []cdxLicence{{Expression: id}}
		case strings.HasPrefix(id, "LicenseRef-"):
			list = append(list, cdxLicence{Licence: &cdxNamed{Name: id}})
		default:
			list = append(list, cdxLicence{Licence: &cdxNamed{ID: id}})
		}
	}
	return list
}
