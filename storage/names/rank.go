package names

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"cheeseboard/storage/pypi"
)

// rank says how well a name fits, the best first.
type rank int

const (
	exact rank = iota
	begins
	word
	within
	ranks
)

// term is a word of a query.
type term struct{ text, dashed []byte } // as it is; behind a dash

// search gathers the best names of one query.
type search struct {
	terms []term // the longest first
	limit int
	best  [ranks][]string // each in order, at most limit
	more  bool
}

func newSearch(words []string, limit int) *search {
	s := &search{limit: limit}
	for _, w := range words {
		s.terms = append(s.terms, term{[]byte(w), []byte("-" + w)})
	}
	return s
}

// see looks at a name that contains the first term. The name is copied only if it
// is among the best so far.
func (s *search) see(name []byte) {
	for _, t := range s.terms[1:] {
		if !bytes.Contains(name, t.text) {
			return
		}
	}
	r := s.rank(name)
	if b := s.best[r]; len(b) == s.limit {
		if worst := b[len(b)-1]; len(name) > len(worst) || len(name) == len(worst) && string(name) >= worst {
			s.more = s.more || string(name) != worst
			return
		}
	}
	s.insert(r, string(name))
}

// add takes a name that may have been seen.
func (s *search) add(name string) {
	if strings.Contains(name, string(s.terms[0].text)) {
		s.see([]byte(name))
	}
}

func (s *search) insert(r rank, name string) {
	i, found := slices.BinarySearchFunc(s.best[r], name, compare)
	if found {
		return
	}
	s.best[r] = slices.Insert(s.best[r], i, name)
	if len(s.best[r]) > s.limit {
		s.best[r] = s.best[r][:s.limit]
		s.more = true
	}
}

// compare puts shorter names first.
func compare(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// rank goes by the worst of the terms: a name that begins with one of two words
// must have the other at the beginning of a word.
func (s *search) rank(name []byte) rank {
	worst, first := exact, false
	for _, t := range s.terms {
		r := within
		switch {
		case len(name) == len(t.text):
			r = exact
		case bytes.HasPrefix(name, t.text):
			r = begins
		case bytes.Contains(name, t.dashed):
			r = word
		}
		first = first || r <= begins
		worst = max(worst, r)
	}
	if first && worst == word {
		return begins
	}
	return worst
}

func (s *search) result() Result {
	out := Result{More: s.more}
	for _, names := range s.best {
		for _, n := range names {
			if len(out.Names) == s.limit {
				out.More = true
				return out
			}
			out.Names = append(out.Names, pypi.Name(n))
		}
	}
	return out
}
