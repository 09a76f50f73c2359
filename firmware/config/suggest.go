package config

import "strings"

// maxSuggestLength bounds the work on names that nobody wrote by hand.
const maxSuggestLength = 80

// nearest returns the candidate that was most likely meant, or "". A candidate
// with the same last part in another table comes first (interval for
// sync.interval), then the one with the fewest typing mistakes.
func nearest(name string, candidates []string, separator string) string {
	if len(name) > maxSuggestLength {
		return ""
	}
	folded := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	same, best, bestDistance := []string(nil), "", 1+max(1, len(name)/4)
	for _, c := range candidates {
		plain := strings.ToLower(strings.ReplaceAll(c, "_", "-"))
		if d := distance(folded, plain); d < bestDistance {
			best, bestDistance = c, d
		}
		if lastPart(plain, separator) == lastPart(folded, separator) {
			same = append(same, c)
		}
	}
	if bestDistance > 0 && len(same) == 1 {
		return same[0]
	}
	return best
}

func lastPart(s, separator string) string {
	return s[strings.LastIndex(s, separator)+1:]
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (optimal string alignment), in bytes.
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
