// Package pypi is the vocabulary of the Python package index and its wire
// forms: names (PEP 503), versions and specifiers (PEP 440), requirements and
// markers (PEP 508), wheel tags (PEP 425), digests, files, projects, and the
// simple repository API as JSON (PEP 691) and HTML (PEP 503), version 1.4.
//
// The package is pure: it does no I/O, starts no goroutine and keeps no state.
// It is the one package that httpd, syncer and storage all speak, so nothing in
// it may depend on how files are stored, fetched or served.
package pypi
