package update

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// span is a time in which the signs stay the same.
type span struct {
	lasts time.Duration
	signs Signs // without Up
}

// judge takes a look each second, until there is a decision.
func judge(p Policy, base Baseline, spans ...span) (Verdict, time.Duration) {
	var t Trial
	var v Verdict
	up := time.Duration(0)
	for _, s := range spans {
		for end := up + s.lasts; up < end; up += time.Second {
			s.signs.Up = up
			if t, v = t.Next(p, base, s.signs); v.Decision != Wait {
				return v, up
			}
		}
	}
	return v, up
}

func TestJudge(t *testing.T) {
	t.Parallel()
	whole := Baseline{Healthy: true, Network: true}
	good := Signs{Ready: true, Healthy: true, Network: true}
	sick := Signs{Ready: true, Network: true, Health: "the metadata cannot be read"}
	loop := func(n int) Signs { return Signs{Network: true, Restarts: n, Ended: "exit status 2"} }
	for name, test := range map[string]struct {
		base  Baseline
		spans []span
		want  Decision
		after time.Duration
		text  string
	}{
		"good from the start":       {whole, []span{{time.Hour, good}}, Commit, time.Minute, ""},
		"good after a slow start":   {whole, []span{{10 * time.Minute, Signs{Network: true}}, {time.Hour, good}}, Commit, 11 * time.Minute, ""},
		"never ready":               {whole, []span{{time.Hour, Signs{Network: true}}}, Rollback, 15 * time.Minute, "was not ready"},
		"sick":                      {whole, []span{{10 * time.Second, Signs{}}, {time.Hour, sick}}, Rollback, 4*time.Minute + 10*time.Second, "metadata cannot be read"},
		"sick after a slow start":   {whole, []span{{9 * time.Minute, Signs{}}, {time.Minute, sick}, {time.Hour, good}}, Commit, 11 * time.Minute, ""},
		"sick, then well":           {whole, []span{{3 * time.Minute, sick}, {time.Hour, good}}, Commit, 4 * time.Minute, ""},
		"well, then sick":           {whole, []span{{30 * time.Second, good}, {time.Hour, sick}}, Rollback, 4*time.Minute + 30*time.Second, "metadata"},
		"says nothing":              {whole, []span{{time.Hour, Signs{Ready: true, Network: true}}}, Rollback, 4 * time.Minute, "did not say how it is"},
		"no network":                {whole, []span{{time.Hour, Signs{Ready: true, Healthy: true}}}, Rollback, 4 * time.Minute, "no network"},
		"no network before either":  {Baseline{Healthy: true}, []span{{time.Hour, Signs{Ready: true, Healthy: true}}}, Commit, time.Minute, ""},
		"as sick as before":         {Baseline{Network: true}, []span{{time.Hour, sick}}, Commit, time.Minute, ""},
		"crash loop":                {whole, []span{{10 * time.Second, loop(0)}, {10 * time.Second, loop(1)}, {10 * time.Second, loop(2)}, {time.Hour, loop(3)}}, Rollback, 30 * time.Second, "exit status 2"},
		"two crashes, then well":    {whole, []span{{10 * time.Second, loop(2)}, {time.Hour, Signs{Ready: true, Healthy: true, Network: true, Restarts: 2}}}, Commit, 70 * time.Second, ""},
		"crash loop though as sick": {Baseline{}, []span{{time.Hour, loop(3)}}, Rollback, 0, "ended 3 times"},
		"well now and then":         {whole, repeat(40, span{50 * time.Second, good}, span{time.Second, sick}), Rollback, 15 * time.Minute, ""},
	} {
		v, after := judge(Policy{}, test.base, test.spans...)
		if v.Decision != test.want || after != test.after || !strings.Contains(v.Text, test.text) {
			t.Errorf("%s: %+v after %s; want %d after %s with %q", name, v, after, test.want, test.after, test.text)
		}
		if v.Decision == Rollback && v.Text == "" {
			t.Errorf("%s: rolled back without a reason", name)
		}
	}
}

func repeat(n int, spans ...span) (all []span) {
	for range n {
		all = append(all, spans...)
	}
	return all
}

// TestJudgeAtRandom holds what must be true of every history: there is a decision by
// the deadline, and a commit only where the last looks were all good for long enough.
func TestJudgeAtRandom(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	r := rand.New(rand.NewPCG(3, 4))
	outcomes := map[Decision]int{}
	for range 3000 {
		base := Baseline{Healthy: r.IntN(4) > 0, Network: r.IntN(4) > 0}
		ill := r.IntN(60)
		var trial Trial
		var v Verdict
		var goodSince, up time.Duration
		restarts, good := 0, false
		for v.Decision == Wait {
			if r.IntN(300) == 0 && ill > 0 {
				restarts++
			}
			s := Signs{Up: up, Ready: r.IntN(60) >= ill, Healthy: r.IntN(60) >= ill, Network: r.IntN(60) >= ill, Restarts: restarts}
			if now := missing(base, s) == ""; now != good || up == 0 {
				good, goodSince = now, up
			}
			trial, v = trial.Next(p, base, s)
			if up > p.Deadline {
				t.Fatal("no decision by the deadline")
			}
			if v.Decision == Commit && (!good || up-goodSince < p.Hold || restarts >= p.Restarts) {
				t.Fatalf("committed at %s, good since %s, %d restarts", up, goodSince, restarts)
			}
			up += time.Duration(1+r.IntN(20)) * time.Second
			if v.Decision == Wait {
				up = min(up, p.Deadline)
			}
		}
		outcomes[v.Decision]++
	}
	if outcomes[Commit] < 10 || outcomes[Rollback] < 10 {
		t.Errorf("outcomes %v: the histories were all alike", outcomes)
	}
}
