package pypi

import (
	"errors"
	"fmt"
	"io"
)

// The methods of PyPI's change feed, which speaks XML-RPC at /pypi. Its other
// methods have been switched off, or are better answered by the simple API.
const (
	MethodLastSerial   = "changelog_last_serial"
	MethodSinceSerial  = "changelog_since_serial"
	MethodListSerials  = "list_packages_with_serial"
	MethodListPackages = "list_packages"
)

// MaxFeedRows is the most rows that PyPI gives for one changelog_since_serial.
// An answer with fewer is the last one.
const MaxFeedRows = 50_000

// ErrNotXMLRPC: the bytes are not an XML-RPC message of the kind that was asked
// for. Where they only stop too early it comes with io.ErrUnexpectedEOF.
var ErrNotXMLRPC = errors.New("not an XML-RPC message of the change feed")

var errTruncatedXMLRPC = fmt.Errorf("the message is cut short: %w: %w", ErrNotXMLRPC, io.ErrUnexpectedEOF)

// Change is one row of the change feed.
type Change struct {
	Name      Name
	Version   string // "" for a change of the whole project
	Timestamp int64  // seconds since 1970, UTC; they run backwards at times
	Action    string // free text: "create", "add py3 file X", "remove project"
	Serial    int64  // positive
}

// FeedSummary is what an answer with changes says beside its rows.
type FeedSummary struct {
	Rows    int   // all rows of the answer
	Skipped int   // rows that were left out: no sound name, or no positive serial
	Last    int64 // the highest serial of all rows, also of those with no sound name; 0 for none
}

// Fault is the answer of a server that did not do what it was asked for. As an
// error it is found with errors.As.
type Fault struct {
	Code int64
	Text string // of a decoded one, at most 64 KB
}

// Codes of faults. The first is PyPI's own: it stands for whatever stopped a
// method, and mostly for too many requests. The others are the common ones.
const (
	FaultApplication   = -32500
	FaultUnavailable   = -32403
	FaultInternal      = -32603
	FaultInvalidParams = -32602
	FaultNoSuchMethod  = -32601
	FaultUnreadable    = -32700
)

func (f *Fault) Error() string { return fmt.Sprintf("fault %d: %.300q", f.Code, f.Text) }

// FeedCall is a request to a change feed.
type FeedCall struct {
	Method string // one of the methods above, or any other
	Params []FeedParam
}

// FeedParam is one argument of a call. The feed's methods take integers only;
// of arguments of other kinds nothing is kept.
type FeedParam struct {
	Int   int64
	IsInt bool
}
