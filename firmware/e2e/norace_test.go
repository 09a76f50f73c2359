//go:build !race

package e2e

// raceFlags build the program as the tests themselves were built.
var raceFlags []string
