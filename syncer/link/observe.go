package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"cheeseboard/syncer/wire"
)

// Of makes an observation of how a request to address ended, where err is nil or
// what wire and those above it gave. index is the address of the index: what is
// not on its host counts as a host of files. Nothing is observed where we ended
// the request ourselves, or where the error is none of the line's.
func Of(index, address string, err error) Observation {
	o := Observation{About: Files}
	o.Host, o.Base = hostOf(address)
	if host, _ := hostOf(index); host == o.Host {
		o.About = Index
	}
	if err == nil {
		return o
	}
	var p *wire.Problem
	if !errors.As(err, &p) {
		return Observation{}
	}
	o.Code, o.Detail = p.Status, p.Error()
	switch p.Cause {
	case wire.Unreachable:
		o.Fault = Unreachable
		var lookup *net.DNSError
		if errors.As(err, &lookup) {
			o.Fault = Lookup
		}
	case wire.Certificate:
		o.Fault = certificate(err, time.Now())
	case wire.Stalled:
		o.Fault = Stalled
	case wire.Cut:
		o.Fault = Cut
	case wire.Busy, wire.Broken, wire.Refused, wire.Gone:
		o.Fault = ofStatus(p.Status)
	case wire.Lie:
		o.Fault = Odd
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) {
			o.Fault = Untrusted // something that speaks no TLS stands in between
		}
	default:
		return Observation{} // we ended it ourselves
	}
	return o
}

// LateFrom is the observation that an answer of the index has not come while a
// client could wait for it.
func LateFrom(index string) Observation {
	o := Observation{About: Index, Fault: Late}
	o.Host, o.Base = hostOf(index)
	return o
}

// RateOf tells how fast bytes came, in bytes per second; 0 where they were too few,
// and the time too short, to judge the line by.
func RateOf(bytes int64, took time.Duration) int64 {
	if took <= 0 || took < 5*time.Second && bytes < 256<<10 {
		return 0
	}
	return max(int64(float64(bytes)/took.Seconds()), 1)
}

// ofStatus judges a status. Those below 500 are answers; 511 is for portals (RFC
// 6585).
func ofStatus(code int) Fault {
	switch {
	case code == http.StatusNetworkAuthenticationRequired:
		return LoginWanted
	case code >= 500:
		return Status
	}
	return None
}

// certificate tells the faults of a certificate apart.
func certificate(err error, now time.Time) Fault {
	var invalid x509.CertificateInvalidError
	switch {
	case !errors.As(err, &invalid) || invalid.Reason != x509.Expired:
		return Untrusted
	case invalid.Cert != nil && now.Before(invalid.Cert.NotBefore):
		return NotYetValid
	}
	return Expired
}

// hostOf gives the host of an address, with its port where it is named, and the
// address of the host itself.
func hostOf(address string) (host, base string) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", ""
	}
	return u.Host, u.Scheme + "://" + u.Host + "/"
}
