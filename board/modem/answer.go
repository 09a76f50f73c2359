package modem

import (
	"strconv"
	"strings"

	"cheeseboard/board/vitals"
)

// Registration is how a modem stands to a network, as 3GPP TS 27.007 has it for +CREG
// and +CEREG.
type Registration int

// The registrations. What a modem does not tell is UnknownNetwork.
const (
	UnknownNetwork Registration = iota
	Home
	Searching
	Denied
	Roaming
)

// String is the registration in words.
func (r Registration) String() string {
	switch r {
	case Home:
		return "at home"
	case Searching:
		return "searching for a network"
	case Denied:
		return "refused by the network"
	case Roaming:
		return "roaming"
	}
	return "not known"
}

// Reading is what a modem tells of its network.
type Reading struct {
	Signal       vitals.Value[int]    // dBm, from -113 to -51
	Operator     vitals.Value[string] // as the network calls itself
	Registration Registration
}

// fields gives what stands behind "NAME:" in the first line of an answer that has it
// and at least so many fields: what a modem says unasked has fewer.
func fields(answer []string, name string, least int) []string {
	for _, line := range answer {
		rest, found := strings.CutPrefix(strings.TrimSpace(line), name+":")
		if !found {
			continue
		}
		parts := strings.Split(rest, ",")
		if len(parts) < least {
			continue
		}
		for i := range parts {
			parts[i] = strings.Trim(strings.TrimSpace(parts[i]), `"`)
		}
		return parts
	}
	return nil
}

// parseSignal reads the answer to AT+CSQ (TS 27.007, 8.5).
func parseSignal(answer []string) vitals.Value[int] {
	parts := fields(answer, "+CSQ", 2)
	if parts == nil {
		return vitals.Unknown[int]("the modem does not tell")
	}
	n, err := strconv.Atoi(parts[0])
	if err != nil || n < 0 || n > 31 {
		return vitals.Unknown[int]("there is no signal")
	}
	return vitals.Known(-113 + 2*n)
}

// parseOperator reads the answer to AT+COPS? (TS 27.007, 7.3).
func parseOperator(answer []string) vitals.Value[string] {
	parts := fields(answer, "+COPS", 3)
	if parts == nil || parts[2] == "" {
		return vitals.Unknown[string]("the modem is at no network")
	}
	return vitals.Known(printable(parts[2]))
}

// printable leaves out what a name of a network has no use for.
func printable(s string) string {
	const most = 32
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}

// parseRegistration reads the answer to AT+CREG? or AT+CEREG? (TS 27.007, 7.2, 10.1.22).
func parseRegistration(answer []string, name string) Registration {
	parts := fields(answer, name, 2)
	if parts == nil {
		return UnknownNetwork
	}
	switch parts[1] {
	case "1":
		return Home
	case "2":
		return Searching
	case "3":
		return Denied
	case "5":
		return Roaming
	}
	return UnknownNetwork
}

// either joins what a modem tells of its circuits and of its packets: one that is at
// home by either is, and so on.
func either(a, b Registration) Registration {
	for _, r := range []Registration{Home, Roaming, Denied, Searching} {
		if a == r || b == r {
			return r
		}
	}
	return UnknownNetwork
}
