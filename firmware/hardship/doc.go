// Package hardship tries to break the whole box: it is killed at random moments,
// mirrors an upstream that tells every lie of upstreamtest, and loses projects,
// files and disk space, while clients go on asking. What must hold is the same
// in every test: the store is sound, nobody receives wrong bytes, no byte that
// was synced comes over the line again, what went wrong is named in the status,
// and once the upstream tells the truth the next sync makes everything good.
//
// TestSchedules combines all that at random: lies, faults of the line (toxiproxy's,
// and those of a line of our own), kills, changes of the index and clients, drawn
// from a seed. A schedule that fails says how to have it again: -seeds N.
//
// The package has tests only. With -short there are few of each kind; with
// CHEESEBOARD_TEST_LONG=1 the box is killed 200 times and lives through 1,000
// schedules.
package hardship
