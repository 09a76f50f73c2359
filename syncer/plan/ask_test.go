package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func pagesAsked(n int, at func(int) time.Time) []Page {
	var pages []Page
	for i := range n {
		pages = append(pages, Page{pypi.Name(fmt.Sprintf("curd-%04d", i)), at(i)})
	}
	return pages
}

// TestShareReachesAllInADay lets passes go over many pages that came in one go:
// each is asked for once in about a day, and no pass asks for much more than its
// part, also when passes come more often than they should.
func TestShareReachesAllInADay(t *testing.T) {
	const interval = 6 * time.Hour
	for _, n := range []int{FewPages + 1, 1000, 5000} {
		pages := pagesAsked(n, func(int) time.Time { return noon })
		asked := make(map[pypi.Name]int)
		longest := time.Duration(0)
		now := noon
		for i := range 8 * 4 * 3 {
			now = noon.Add(time.Duration(i+1) * interval / 3) // two passes of three are retries
			share := Share(slices.Clone(pages), now, interval)
			if most := max(FewPages, n/4+1); len(share) > most {
				t.Fatalf("%d pages: a pass asks for %d, at most %d", n, len(share), most)
			}
			for _, s := range share {
				asked[s.Name]++
				k := slices.IndexFunc(pages, func(p Page) bool { return p.Name == s.Name })
				longest = max(longest, now.Sub(pages[k].Asked))
				pages[k].Asked = now
			}
		}
		days := now.Sub(noon).Hours() / 24
		for name, times := range asked {
			if float64(times) < days-1 || float64(times) > days*4/3+1 {
				t.Errorf("%d pages: %s was asked for %d times in %.0f days", n, name, times, days)
			}
		}
		if len(asked) != n || longest > AskEvery+interval {
			t.Errorf("%d pages: %d were asked for, the longest wait was %s", n, len(asked), longest)
		}
	}
}

func TestShareOfFew(t *testing.T) {
	just := func(int) time.Time { return noon }
	for _, c := range []struct {
		pages    int
		interval time.Duration
		after    time.Duration
		want     int
	}{
		{FewPages, 6 * time.Hour, time.Minute, FewPages}, // few: whenever a pass comes
		{0, 6 * time.Hour, time.Minute, 0},
		{1000, 24 * time.Hour, time.Minute, 1000}, // each pass is a day's
		{1000, 6 * time.Hour, 17 * time.Hour, 0},  // asked for so lately
		{1000, 6 * time.Hour, 18 * time.Hour, 250},
		{1001, 6 * time.Hour, 18 * time.Hour, 251},
		{1000, time.Hour, 24 * time.Hour, FewPages},
		{1000, 6 * time.Hour, -time.Hour, 250}, // the clock was ahead
	} {
		if got := len(Share(pagesAsked(c.pages, just), noon.Add(c.after), c.interval)); got != c.want {
			t.Errorf("%+v: %d are asked for", c, got)
		}
	}
	// The oldest come first, and what was never asked for before them.
	pages := pagesAsked(1000, func(i int) time.Time { return noon.Add(-time.Duration(i) * time.Minute) })
	pages[3].Asked = time.Time{}
	share := Share(pages, noon.Add(48*time.Hour), 6*time.Hour)
	if len(share) != 250 || share[0].Name != "curd-0003" || share[1].Name != "curd-0999" || share[249].Name != "curd-0751" {
		t.Errorf("%d pages, %v … %v", len(share), share[:2], share[len(share)-1])
	}
}

// TestSweepIsSpread sweeps 1,000 projects that came in one go: over a week of four
// passes a day each is asked for once, and no pass asks for many.
func TestSweepIsSpread(t *testing.T) {
	const passes, n = 28, 1000
	pages := pagesAsked(n, func(int) time.Time { return noon })
	for week := range 3 {
		swept := make(map[pypi.Name]int)
		for pass := range passes {
			now := noon.Add(time.Duration(week*passes+pass+1) * 6 * time.Hour)
			in := 0
			for i := range pages {
				if Swept(pages[i].Name, pages[i].Asked, now) {
					in++
					swept[pages[i].Name]++
					pages[i].Asked = now
				}
			}
			if in < n/passes/2 || in > n/passes*2 {
				t.Errorf("week %d, pass %d sweeps %d projects of %d", week, pass, in, n)
			}
		}
		for name, times := range swept {
			if times != 1 {
				t.Errorf("week %d sweeps %s %d times", week, name, times)
			}
		}
		if len(swept) != n {
			t.Errorf("week %d sweeps %d of %d", week, len(swept), n)
		}
	}
	for name, want := range map[string]bool{
		"never asked": Swept("curd", time.Time{}, noon), "asked in the future": Swept("curd", noon.Add(time.Second), noon),
		"a week ago": Swept("curd", noon.Add(-SweepEvery), noon),
	} {
		if !want {
			t.Errorf("%s: it is not swept", name)
		}
	}
	if Swept("curd", noon, noon) {
		t.Error("it is swept at the moment at which it was asked for")
	}
}

func TestListWorth(t *testing.T) {
	// Twenty pages are far cheaper than PyPI's list, 50,000 are dearer than its
	// 10 MB on the line.
	if ListWorth(20) > 100_000 || ListWorth(50_000) < 10_000_000 || ListWorth(0) != 0 {
		t.Error(ListWorth(20), ListWorth(50_000), ListWorth(0))
	}
}

// TestCursor reads a feed again from some serials back until nothing can turn up
// there any more.
func TestCursor(t *testing.T) {
	steps := []struct {
		after  time.Duration // since the step before
		last   int64         // what the reading reaches
		from   int64         // where it began
		settle int64
	}{
		{0, 10_000, 0, 0},
		{0, 10_000, 8_000, 0},           // at once again
		{Settle, 10_000, 8_000, 10_000}, // late enough: what is late is here
		{time.Minute, 10_000, 10_000, 10_000},
		{time.Minute, 10_500, 10_000, 10_000},
		{time.Minute, 10_600, 10_000, 10_000}, // of 10,500 the last word is not said
		{time.Minute, 13_000, 10_000, 10_000},
		{time.Minute, 13_000, 11_000, 10_000}, // not further back than the window
		{-time.Hour, 13_000, 11_000, 10_000},  // the clock is set back
		{Settle - 1, 13_000, 11_000, 10_000},
		{1, 13_000, 11_000, 13_000},
	}
	c, now := Cursor{}, noon
	for i, s := range steps {
		now = now.Add(s.after)
		from := c.From(2000)
		c = c.Read(s.last, now)
		if from != s.from || c.Settled != s.settle || c.Serial != s.last {
			t.Errorf("step %d: read from %d, want %d; then %+v", i, from, s.from, c)
		}
	}
}
