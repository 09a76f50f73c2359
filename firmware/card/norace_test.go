//go:build !race

package card

const withRace = false
