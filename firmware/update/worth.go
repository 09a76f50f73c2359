package update

import "cheeseboard/firmware/machine"

// mostAttempts is how often a version is tried that was rolled back, unless a person
// asks: once more, since the power may have been cut.
const mostAttempts = 2

// Worth reports whether a machine is to install a version without anybody asking for
// it: the version is newer than what runs and what waits, and was not tried in vain.
func Worth(s machine.State, v Version) bool {
	newer := func(than string) bool {
		w, err := ParseVersion(than)
		return err != nil || v.Compare(w) > 0
	}
	switch {
	case s.NoUpdate != "" || s.Trial != nil:
		return false
	case s.Refused != nil && s.Refused.Version == v.String() && s.Refused.Attempts >= mostAttempts:
		return false
	case s.Waiting != nil && !newer(s.Waiting.Version):
		return false
	}
	return newer(s.Version)
}

// Worth is the function Worth for this machine.
func (u *Updater) Worth(v Version) bool {
	var s machine.State
	u.Describe(&s)
	return Worth(s, v)
}
