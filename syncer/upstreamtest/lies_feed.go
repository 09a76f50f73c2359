package upstreamtest

import (
	"fmt"
	"slices"
	"time"
)

// tooMany is PyPI's refusal of too many requests, under a code that it has for
// all that goes wrong on its side.
const tooMany = "HTTPTooManyRequests: The action could not be performed because there were too many requests by the client. Limit may reset in 7 seconds."

// Fault answers a call to the feed with a fault, under status 200. Without a
// text it has PyPI's own for -32500, which is too many requests.
func Fault(code int64, text string) Lie {
	if text == "" {
		text = "server error"
		if code == -32500 {
			text = tooMany
		}
	}
	return feedLie(fmt.Sprintf("fault:%d", code), func(a *feedAnswer) { a.blame(code, text) })
}

// ReplayRows has the feed give rows again that came before the serial.
func ReplayRows(rows int) Lie {
	return feedLie(fmt.Sprintf("replay:%d", rows), func(a *feedAnswer) { a.replay = rows })
}

// Gap has the feed leave each nth row of the history out. The highest serial
// stays what it is.
func Gap(n int) Lie {
	return feedLie(fmt.Sprintf("gap:%d", n), func(a *feedAnswer) {
		var rows []event
		for i, e := range a.rows {
			if n < 1 || (i+1)%n != 0 {
				rows = append(rows, e)
			}
		}
		a.rows = rows
	})
}

// lateSerials is how far behind the highest serial a row of Late can be.
const lateSerials = 1500

// Late has each nth of the newest rows be out only later, behind rows with higher
// serials: when the lie has ended.
func Late(n int) Lie {
	return feedLie(fmt.Sprintf("late:%d", n), func(a *feedAnswer) {
		var rows []event
		for i, e := range a.rows {
			if e.serial <= a.last-lateSerials || n < 1 || (i+1)%n != 0 {
				rows = append(rows, e)
			}
		}
		a.rows = rows
	})
}

// Backwards has the feed's timestamps run backwards, while the serials do not.
func Backwards() Lie {
	return feedLie("backwards", func(a *feedAnswer) {
		a.rows = slices.Clone(a.rows)
		for i := range a.rows {
			a.rows[i].at = epoch.Add(-time.Duration(i) * time.Minute)
		}
	})
}

func feedLie(name string, bend func(*feedAnswer)) Lie {
	return Lie{Name: name, applies: isPost, feed: bend}
}
