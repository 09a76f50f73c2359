package upstreamtest

import (
	"fmt"
	"sync"
)

// SampleIndex makes a small dairy: 15 projects that lean on one another, with
// most of what an index can hold. seed varies the filler in the files; the names
// and versions are always these:
//
//	cheddar       0.9.0 1.0.0 1.1.0 1.2.0 2.0.0rc1, wheels and sdists; 1.1.0 yanked with a
//	              reason; needs rennet and, with the extra aged, curd[press]; extra sliced
//	rennet        1.0 1.1 2.0; 2.0 needs a Python that does not exist
//	curd          2.0 2.1; extra press needs Whey.Tools
//	Whey.Tools    0.1 0.2.dev1: a name that is not in its normal form
//	gorgonzola    3.0 for every platform; 3.1 as platform wheels only, with 64 KiB of filler
//	stilton       1.0: a wheel of 4 MiB, and 1.1 of 1 KiB that is yanked without a reason
//	parmesan      0.0.1 to 0.0.36: many versions
//	camembert     1.0 1.1, all yanked
//	feta          1.0 1.1, sdists only
//	halloumi      1.0a1 1.0b2 1.0rc3, pre-releases only
//	ricotta       1!1.0 2024.1 2024.1.post1 2024.1+cu12: epochs, posts and local versions
//	mozzarella    1.0, archived
//	edam          1.0, deprecated with a reason; states provenance, at an address that refuses
//	limburger     1.0, quarantined: no files, not in the root list
//	cheeseplate   1.0: needs cheddar[aged], parmesan, and others by markers
func SampleIndex(seed uint64) *Index { return samples.take(seed) }

// samples has what SampleIndex made last. Making it costs more than most tests that use it.
var samples shelf

// shelf has the last index that it gave, as it was new. It is safe for concurrent use.
type shelf struct {
	mu    sync.Mutex
	seed  uint64
	index *Index
}

func (h *shelf) take(seed uint64) *Index {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.index == nil || h.seed != seed {
		h.seed, h.index = seed, makeSample(seed)
	}
	return h.index.twin()
}

// makeSample is SampleIndex, and makes every file.
func makeSample(seed uint64) *Index {
	b := sample{index: NewIndex(), seed: seed}
	b.curds()
	b.blues()
	b.oddities()
	b.wheel(Wheel{Name: "cheeseplate", Version: "1.0", Requires: []string{
		"cheddar[aged]<2,>=1.0",
		"parmesan>=0.0.5",
		`edam; python_version >= "3"`,
		`gorgonzola; sys_platform == "win32" and platform_machine != "ARM64"`,
		`stilton==1.*; extra == "strong"`,
	}, Extras: []string{"strong"}, RequiresPython: ">=3.6"})
	if b.err != nil {
		panic(fmt.Sprintf("sample index: %v", b.err)) // the data above is wrong: a bug
	}
	return b.index
}

// sample keeps the first error of a row of additions.
type sample struct {
	index *Index
	seed  uint64
	err   error
}

func (b *sample) do(err error) {
	if b.err == nil {
		b.err = err
	}
}

// wheel adds a wheel and returns its file name.
func (b *sample) wheel(w Wheel) string {
	w.Seed = b.seed
	name, err := b.index.AddWheel(w)
	b.do(err)
	return name
}

func (b *sample) sdist(d Sdist) string {
	d.Seed = b.seed
	name, err := b.index.AddSdist(d)
	b.do(err)
	return name
}

// curds are the projects that others need.
func (b *sample) curds() {
	for _, version := range []string{"0.9.0", "1.0.0", "1.1.0", "1.2.0", "2.0.0rc1"} {
		requires := []string{"rennet>=1.0", `curd[press]>=2; extra == "aged"`}
		w := Wheel{
			Name: "cheddar", Version: version, Requires: requires, Extras: []string{"aged", "sliced"},
			RequiresPython: ">=3.6, !=3.7.0", Payload: 2000,
		}
		name := b.wheel(w)
		sdist := b.sdist(Sdist{Name: "cheddar", Version: version, Requires: requires[:1], RequiresPython: ">=3.6, !=3.7.0"})
		if version == "1.1.0" {
			b.do(b.index.Yank("cheddar", name, `it smelled of "soap" & <b>worse</b>`))
			b.do(b.index.Yank("cheddar", sdist, `it smelled of "soap" & <b>worse</b>`))
		}
	}
	b.wheel(Wheel{Name: "rennet", Version: "1.0", Tags: "py2.py3-none-any"})
	b.wheel(Wheel{Name: "rennet", Version: "1.1", Tags: "py2.py3-none-any"})
	b.wheel(Wheel{Name: "rennet", Version: "2.0", RequiresPython: ">=3.99"})
	for _, version := range []string{"2.0", "2.1"} {
		b.wheel(Wheel{
			Name: "curd", Version: version, Extras: []string{"press"},
			Requires: []string{`Whey.Tools>=0.1; extra == "press"`},
		})
	}
	b.wheel(Wheel{Name: "Whey.Tools", Version: "0.1"})
	b.wheel(Wheel{Name: "Whey.Tools", Version: "0.2.dev1"})
}

// blues are the projects with platforms, large files and many versions.
func (b *sample) blues() {
	b.wheel(Wheel{Name: "gorgonzola", Version: "3.0"})
	for _, tags := range []string{
		"cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
		"cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64",
		"cp311-cp311-manylinux_2_31_armv7l",
		"cp311-cp311-musllinux_1_2_x86_64",
		"cp311-cp311-macosx_11_0_arm64",
		"cp311-cp311-win_amd64",
		"cp313-cp313-manylinux_2_28_x86_64",
		"cp38-abi3-win32",
		"pp310-pypy310_pp73-manylinux_2_17_x86_64.manylinux2014_x86_64",
	} {
		b.wheel(Wheel{Name: "gorgonzola", Version: "3.1", Tags: tags, RequiresPython: ">=3.8", Payload: 64 << 10})
	}
	b.wheel(Wheel{Name: "stilton", Version: "1.0", Payload: 4 << 20})
	b.do(b.index.Yank("stilton", b.wheel(Wheel{Name: "stilton", Version: "1.1", Payload: 1 << 10}), ""))
	for i := range 36 {
		b.wheel(Wheel{Name: "parmesan", Version: fmt.Sprintf("0.0.%d", i+1)})
	}
}

// oddities are the projects with states, marks and versions that are rare.
func (b *sample) oddities() {
	for _, version := range []string{"1.0", "1.1"} {
		b.do(b.index.Yank("camembert", b.wheel(Wheel{Name: "camembert", Version: version}), "too ripe"))
		b.sdist(Sdist{Name: "feta", Version: version})
	}
	for _, version := range []string{"1.0a1", "1.0b2", "1.0rc3"} {
		b.wheel(Wheel{Name: "halloumi", Version: version})
	}
	for _, version := range []string{"1!1.0", "2024.1", "2024.1.post1", "2024.1+cu12"} {
		b.wheel(Wheel{Name: "ricotta", Version: version})
	}
	b.wheel(Wheel{Name: "mozzarella", Version: "1.0"})
	b.do(b.index.SetStatus("mozzarella", "archived", ""))
	edam := b.wheel(Wheel{Name: "edam", Version: "1.0", BuildTag: "1"})
	// Nothing is there, and that is known at once.
	b.do(b.index.SetProvenance("edam", edam, "https://127.0.0.1:1/integrity/edam/1.0/"+edam+"/provenance"))
	b.do(b.index.SetStatus("edam", "deprecated", "use gouda"))
	b.wheel(Wheel{Name: "limburger", Version: "1.0"})
	b.do(b.index.SetStatus("limburger", "quarantined", ""))
}
