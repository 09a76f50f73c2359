// Package e2e has the end-to-end tests: the real program, built once, between a
// lying upstream and real clients of several ages.
//
// The program is run as people run it, with its flags, its signals and its exit
// status; nothing reaches inside. Every test has a data folder, an upstream and
// ports of its own. What a machine lacks (a Python, the right to mount) is said
// where a test is skipped for it.
package e2e
