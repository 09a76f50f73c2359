package pypi

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// DecodeListHTML reads a root list in its HTML form (PEP 503, 629) as it streams
// by, and hands each entry to yield in the order of the page. The form has no
// serials of single projects, so that Serial is 0; the highest serial comes from
// PyPI's trailer. A link whose text is no project name, or whose address ends in
// another name, is skipped and counted.
//
// The errors, and what they mean for entries that were handed on, are those of
// DecodeListJSON.
func DecodeListHTML(r io.Reader, yield func(ListEntry) error) (ListSummary, error) {
	l := htmlList{yield: yield}
	l.scan = htmlScan{anchor: l.anchor}
	err := l.scan.run(skipBOM(r))
	if l.stopped != nil {
		return l.sum, l.stopped
	}
	if err == nil {
		l.scan.evidence.entries = l.sum.Projects
		l.scan.evidence.strange = l.sum.Skipped > l.sum.Projects
		err = l.scan.evidence.list()
	}
	if err == nil && l.scan.evidence.version {
		err = checkAPIVersion(strings.TrimSpace(l.scan.version))
	}
	if err != nil {
		return l.sum, fmt.Errorf("decode root list: %w", err)
	}
	l.sum.LastSerial = l.scan.serial
	return l.sum, nil
}

type htmlList struct {
	scan    htmlScan
	yield   func(ListEntry) error
	stopped error // what yield returned
	sum     ListSummary
}

// anchor takes one link. Text and address must agree (PEP 503), which the links
// of other web pages hardly ever do.
func (l *htmlList) anchor(a *htmlAnchor) error {
	link, _, _ := bytes.Cut(trimHTMLSpace(a.href.val), []byte("#"))
	if !a.href.set || isNavigation(string(link), nil) {
		return nil
	}
	link = bytes.TrimSuffix(link, []byte("index.html")) // a static tree
	link = bytes.TrimSuffix(link, []byte("/"))
	name, err := ParseName(string(bytes.TrimSuffix(a.text, []byte("/"))))
	linked, errLinked := ParseName(lastElement(string(link)))
	if err != nil || errLinked != nil || linked != name {
		l.sum.Skipped++
		return nil
	}
	l.sum.Projects++
	l.stopped = l.yield(ListEntry{Name: name})
	return l.stopped
}
