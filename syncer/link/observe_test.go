package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"cheeseboard/syncer/wire"
)

func TestOf(t *testing.T) {
	status := func(cause wire.Cause, code int) error { return &wire.Problem{Cause: cause, Status: code} }
	for name, tc := range map[string]struct {
		err   error
		fault Fault
		news  bool
		alive bool
	}{
		"it worked":           {nil, None, true, true},
		"not found":           {status(wire.Gone, 404), None, true, true},
		"too many":            {status(wire.Busy, 429), None, true, true},
		"come back":           {status(wire.Busy, 503), Status, true, true},
		"an error":            {status(wire.Broken, 500), Status, true, true},
		"a portal says so":    {status(wire.Broken, 511), LoginWanted, true, false},
		"forbidden":           {status(wire.Refused, 403), None, true, true},
		"no connection":       {problemOf(Unreachable, testIndex), Unreachable, true, false},
		"no name":             {problemOf(Lookup, testIndex), Lookup, true, false},
		"silence":             {problemOf(Stalled, testIndex), Stalled, true, false},
		"cut":                 {problemOf(Cut, testIndex), Cut, true, true},
		"a lie":               {problemOf(Odd, testIndex), Odd, true, true},
		"plain http on 443":   {&wire.Problem{Cause: wire.Lie, Err: tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}}, Untrusted, true, false},
		"a strange authority": {problemOf(Untrusted, testIndex), Untrusted, true, false},
		"not yet valid":       {problemOf(NotYetValid, testIndex), NotYetValid, true, false},
		"expired":             {problemOf(Expired, testIndex), Expired, true, false},
		"wrapped":             {fmt.Errorf("fetch stilton: %w", problemOf(Stalled, testIndex)), Stalled, true, false},
		"we ended it":         {&wire.Problem{Cause: wire.Canceled}, None, false, false},
		"the budget":          {&wire.Problem{Cause: wire.Budget}, None, false, false},
		"the disk":            {errors.New("no space left"), None, false, false},
		"no gateway at all":   {&wire.Problem{Cause: wire.Unreachable, Err: &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}}, Unreachable, true, false},
	} {
		o := Of(testIndex, testIndex+"stilton/", tc.err)
		if o.Fault != tc.fault || (o.About != Nothing) != tc.news || o.Alive() != tc.alive || o.Probe {
			t.Errorf("%s: %+v, alive %t", name, o, o.Alive())
		}
		if tc.news && (o.About != Index || o.Host != "pypi.example" || o.Base != "https://pypi.example/") {
			t.Errorf("%s: asked was %+v", name, o)
		}
		if tc.news && (o.Detail == "") != (tc.err == nil) {
			t.Errorf("%s: the detail is %q", name, o.Detail)
		}
	}
	if o := Of(testIndex, testFile, nil); o.About != Files || o.Host != "files.example" {
		t.Errorf("a file: %+v", o)
	}
	if o := LateFrom(testIndex); o.About != Index || o.Alive() || o.Host != "pypi.example" {
		t.Errorf("late: %+v", o)
	}
	o := Of(testIndex, testIndex, problemOf(Cut, testIndex))
	if o.Probe = true; o.Alive() {
		t.Error("a probe that is cut is taken for a sign of life")
	}
	if o := (Observation{About: Carrier, Known: Yes}); o.Alive() {
		t.Error("a cable is taken for a sign of life from the upstream")
	}
}

func TestRateOf(t *testing.T) {
	for _, tc := range []struct {
		bytes int64
		took  time.Duration
		want  int64
	}{
		{1 << 10, time.Second, 0}, {1 << 20, time.Second, 1 << 20}, {50 << 10, 10 * time.Second, 5 << 10},
		{0, time.Minute, 1}, {1 << 20, 0, 0}, {1 << 40, 1 << 10 * time.Second, 1 << 30},
	} {
		if got := RateOf(tc.bytes, tc.took); got != tc.want {
			t.Errorf("%d bytes in %s: %d, want %d", tc.bytes, tc.took, got, tc.want)
		}
	}
}
