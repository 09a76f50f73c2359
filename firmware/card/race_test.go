//go:build race

package card

// withRace: under the race detector compression is fifty times slower, and nothing here
// runs at the same time as anything else. The step image of scripts/test does without.
const withRace = true
