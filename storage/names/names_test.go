package names

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cheeseboard/storage/pypi"
)

// shop is a source in memory.
type shop struct {
	mu      sync.Mutex
	names   []pypi.Name
	version uint64
	lists   int
	broken  error
	dir     string
}

func (s *shop) set(names ...pypi.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = slices.Sorted(slices.Values(names))
	s.version++
}

func (s *shop) source(t testing.TB) Source {
	s.dir = t.TempDir()
	all := func() ([]pypi.Name, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.names, s.broken
	}
	return Source{
		Each: func(yield func(pypi.Name) bool) error {
			names, err := all()
			for _, n := range slices.Concat(names, names) { // some come twice
				if !yield(n) {
					break
				}
			}
			return err
		},
		Prefix: func(prefix string, yield func(pypi.Name) bool) error {
			names, err := all()
			for _, n := range names {
				if strings.HasPrefix(string(n), prefix) && !yield(n) {
					break
				}
			}
			return err
		},
		Version: func() uint64 { s.mu.Lock(); defer s.mu.Unlock(); return s.version },
		Scratch: func() (*os.File, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lists++
			return os.Create(filepath.Join(s.dir, fmt.Sprint(s.lists)))
		},
	}
}

func finder(t testing.TB, s *shop) *Finder {
	f := New(s.source(t))
	t.Cleanup(f.Close)
	return f
}

func find(t testing.TB, f *Finder, query string, limit int) []pypi.Name {
	t.Helper()
	r, err := f.Find(query, limit)
	if err != nil {
		t.Fatal(err)
	}
	return r.Names
}

func TestFind(t *testing.T) {
	s := new(shop)
	s.set("django", "django-rest", "django-rest-framework", "djangorestframework", "rest", "my-django-app", "mydjango", "interest", "a", "restless", "rest-django", "zope-interface")
	f := finder(t, s)
	for query, want := range map[string][]pypi.Name{
		"django":      {"django", "django-rest", "djangorestframework", "django-rest-framework", "rest-django", "my-django-app", "mydjango"},
		"Django":      {"django", "django-rest", "djangorestframework", "django-rest-framework", "rest-django", "my-django-app", "mydjango"},
		"rest":        {"rest", "restless", "rest-django", "django-rest", "django-rest-framework", "interest", "djangorestframework"},
		"rest django": {"django-rest", "rest-django", "django-rest-framework", "djangorestframework"},
		"django_REST": {"django-rest", "django-rest-framework"},
		"-rest":       {"django-rest", "django-rest-framework"},
		"rest.":       {"rest-django", "django-rest-framework"},
		"nobody":      nil,
		"zope face":   {"zope-interface"},
		"a":           {"a"},
		"a a":         {"a", "my-django-app", "django", "mydjango", "django-rest", "rest-django", "zope-interface", "djangorestframework", "django-rest-framework"},
	} {
		if got := find(t, f, query, 50); !cmp.Equal(got, want) {
			t.Errorf("%q finds %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"", "  ", "---", "\x00\n", "é", strings.Repeat("a", MaxQuery+1), "a b c d e f"} {
		if _, err := f.Find(query, 1); !errors.Is(err, ErrQuery) {
			t.Errorf("%q: %v", query, err)
		}
	}
}

// TestFindFewOfMany gives the best of many, and says that there are more.
func TestFindFewOfMany(t *testing.T) {
	s := new(shop)
	var names []pypi.Name
	for i := range 5000 {
		names = append(names, pypi.Name(fmt.Sprintf("brie-%d", i)), pypi.Name(fmt.Sprintf("old-brie-%d", i)))
	}
	s.set(append(names, "brie")...)
	f := finder(t, s)
	r, err := f.Find("brie", 3)
	if want := []pypi.Name{"brie", "brie-0", "brie-1"}; err != nil || !cmp.Equal(r.Names, want) || !r.More {
		t.Errorf("%+v, want %v and more (%v)", r, want, err)
	}
	if r, err := f.Find("old-brie-77", 100); err != nil || len(r.Names) != 11 || r.More {
		t.Errorf("%+v (%v)", r, err)
	}
}

// TestListIsMadeAnew: what is new is found by its beginning at once, by any part
// after some minutes, and the list is not made for each change.
func TestListIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(shop)
		s.set("brie", "feta")
		f := New(s.source(t))
		defer f.Close()
		if err := f.Prepare(); err != nil {
			t.Fatal(err)
		}
		s.set("brie", "feta", "briefcase")
		if got := find(t, f, "brie", 9); !cmp.Equal(got, []pypi.Name{"brie", "briefcase"}) {
			t.Errorf("by its beginning: %v", got)
		}
		if got := find(t, f, "case", 9); got != nil {
			t.Errorf("the list was made anew at once: %v", got)
		}
		time.Sleep(again + time.Second)
		_ = find(t, f, "case", 9) // has it made anew
		synctest.Wait()
		if got := find(t, f, "case", 9); !cmp.Equal(got, []pypi.Name{"briefcase"}) {
			t.Errorf("after some minutes: %v", got)
		}
		time.Sleep(time.Hour)
		_ = find(t, f, "case", 9)
		synctest.Wait()
		if s.lists != 2 {
			t.Errorf("the list was made %d times", s.lists)
		}
		s.mu.Lock()
		s.broken = errors.New("the store is broken")
		s.mu.Unlock()
		s.set("edam")
		if got := find(t, f, "case fetch", 9); got != nil {
			t.Error(got)
		}
		synctest.Wait()
		if got := find(t, f, "bri ie", 9); !cmp.Equal(got, []pypi.Name{"brie", "briefcase"}) {
			t.Errorf("when no list can be made, the old one finds %v", got)
		}
	})
}

// TestFindWithoutRoom: where no file can be made, the names are in memory.
func TestFindWithoutRoom(t *testing.T) {
	s := new(shop)
	s.set("brie", "old-brie")
	source := s.source(t)
	source.Scratch = func() (*os.File, error) { return nil, errors.New("the disk is full") }
	f := New(source)
	defer f.Close()
	if got := find(t, f, "brie", 5); !cmp.Equal(got, []pypi.Name{"brie", "old-brie"}) {
		t.Error(got)
	}
	source.Each = func(yield func(pypi.Name) bool) error {
		for i := 0; yield(pypi.Name(fmt.Sprintf("%0100d", i))); i++ {
		}
		return nil
	}
	g := New(source)
	defer g.Close()
	if _, err := g.Find("brie", 5); !errors.Is(err, errTooMany) {
		t.Errorf("a list without end: %v", err)
	}
}

// TestFindTogether searches, changes and closes at once.
func TestFindTogether(t *testing.T) {
	s := new(shop)
	s.set("brie", "old-brie")
	f := New(s.source(t))
	f.now = func() time.Time { return time.Now().Add(time.Duration(rand.IntN(24)) * time.Hour) }
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				s.set("brie", "old-brie")
				r, err := f.Find("brie", 10)
				if errors.Is(err, errClosed) {
					return
				}
				if want := []pypi.Name{"brie", "old-brie"}; err != nil || !cmp.Equal(r.Names, want) {
					t.Errorf("%v (%v)", r, err)
				}
			}
		})
	}
	f.Close()
	all.Wait()
	if _, err := f.Find("brie", 1); !errors.Is(err, errClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// FuzzFind holds the search to a plain look at each name.
func FuzzFind(f *testing.F) {
	f.Add("brie", "brie old-brie briefcase feta")
	f.Add("e b", "brie b e")
	f.Add("-b", "a-b b-a b")
	f.Fuzz(func(t *testing.T, query, list string) {
		var names []pypi.Name
		for _, s := range strings.Fields(list) {
			if n, err := pypi.ParseName(s); err == nil {
				names = append(names, n)
			}
		}
		s := new(shop)
		s.set(names...)
		r, err := finder(t, s).Find(query, Limit)
		if err != nil {
			return
		}
		terms, err := parse(query)
		if err != nil {
			t.Fatal(err)
		}
		var want []pypi.Name
		if len(terms) == 1 && len(terms[0]) == 1 {
			return // only names that begin so are searched
		}
		for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
			if !slices.ContainsFunc(terms, func(term string) bool { return !strings.Contains(string(n), term) }) {
				want = append(want, n)
			}
		}
		if got := slices.Sorted(slices.Values(r.Names)); !r.More && !cmp.Equal(got, want) {
			t.Errorf("%q in %q finds %v, want %v", query, list, got, want)
		}
	})
}

// BenchmarkFind searches all of PyPI, as large as it is.
func BenchmarkFind(b *testing.B) {
	s := new(shop)
	r := rand.New(rand.NewPCG(1, 1))
	words := []string{"py", "django", "data", "client", "api", "aws", "tools", "utils", "ml", "flask", "lib", "core", "sdk", "async", "test"}
	seen := make(map[pypi.Name]bool)
	for len(seen) < 800_000 {
		n := words[r.IntN(len(words))]
		for range 1 + r.IntN(2) {
			n += "-" + fmt.Sprintf("%x", r.Uint32()>>(4*r.IntN(5)))
		}
		seen[pypi.Name(n)] = true
	}
	var all []pypi.Name
	for n := range seen {
		all = append(all, n)
	}
	s.set(all...)
	f := finder(b, s)
	if err := f.Prepare(); err != nil {
		b.Fatal(err)
	}
	for _, query := range []string{"a", "py", "django", "client", "nothing-has-this", "aws 77"} {
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Find(query, 50); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
