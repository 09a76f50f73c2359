package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// spread is what a figure was over the rounds.
type spread struct{ middle, least, most float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{middle: (sorted[(n-1)/2] + sorted[n/2]) / 2, least: sorted[0], most: sorted[n-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.middle, s.least, s.most) }

// keys gives the `key: value` lines of a ratio.
func (s spread) keys(key string) string {
	return fmt.Sprintf("%s: %.3f\n%s_min: %.3f\n%s_max: %.3f\n", key, s.middle, key, s.least, key, s.most)
}

// over puts the figures of two servers into a relation, round by round.
func over[T any](a, b []T, of func(T) float64) spread {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = of(a[i]) / of(b[i])
	}
	return spreadOf(ratios)
}

// middle is the median of a figure.
func middle(list []outcome, of func(outcome) float64) float64 {
	values := make([]float64, len(list))
	for i, o := range list {
		values[i] = of(o)
	}
	return spreadOf(values).middle
}

func (b *bench) print(w io.Writer, rows []*row, s storms) error {
	var text, keys strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") } // a Builder takes everything
	line("", "cheeseboard", "p50", "p99", "CPU", "nginx", "p50", "p99", "CPU", "ratio", "CPU ratio")
	for _, r := range rows {
		ratio := over(r.box, r.nginx, r.speed)
		processor := over(r.nginx, r.box, r.cost)
		line(append(append(append([]string{r.name}, r.cells(r.box)...), r.cells(r.nginx)...), ratio.String(), processor.String())...)
		keys.WriteString(ratio.keys("nginx_ratio_" + r.key))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	text.WriteString("speed: requests a second, or MB a second for the large file; CPU: seconds for 10,000 requests, or for 10 GB\n\n")
	b.sums(&text, &keys, rows)
	stormy(&text, &keys, s, b.pips)
	text.WriteString("groxpi is left out: its source is not at hand\n")
	_, err := io.WriteString(w, text.String()+"\n"+keys.String())
	return err
}

// cells are the figures of one server.
func (r *row) cells(list []outcome) []string {
	speed := middle(list, r.speed)
	if r.bulk {
		speed /= 1e6
	}
	moment := func(of func(outcome) time.Duration) string {
		return time.Duration(middle(list, func(o outcome) float64 { return float64(of(o)) })).Round(time.Microsecond).String()
	}
	if r.bulk && r.load.connections > 1 {
		// Hardly any answer ends within the time.
		return []string{fmt.Sprintf("%.0f", speed), "-", "-", fmt.Sprintf("%.3f", middle(list, r.cost))}
	}
	return []string{
		fmt.Sprintf("%.0f", speed),
		moment(func(o outcome) time.Duration { return o.p50 }), moment(func(o outcome) time.Duration { return o.p99 }),
		fmt.Sprintf("%.3f", middle(list, r.cost)),
	}
}

// sums are the figures over all rows.
func (b *bench) sums(text, keys *strings.Builder, rows []*row) {
	rounds := make([]float64, b.rounds)
	for i := range rounds {
		var ours, theirs float64
		for _, r := range rows {
			if !r.bulk {
				ours, theirs = ours+r.cost(r.box[i]), theirs+r.cost(r.nginx[i])
			}
		}
		rounds[i] = theirs / ours
	}
	if all := spreadOf(rounds); all.middle > 0 {
		fmt.Fprintf(text, "CPU for the same number of requests in each of the small rows: nginx / cheeseboard = %s\n", all)
		keys.WriteString(all.keys("nginx_cpu_ratio"))
	}
	ratio := float64(b.mostOfNginx.share) / float64(b.mostOfBox.share)
	fmt.Fprintf(text, "memory at most: cheeseboard %.1f MB (%.1f anonymous), nginx %.1f MB (%.1f anonymous), nginx / cheeseboard = %.2f\n",
		mega(b.mostOfBox.share), mega(b.mostOfBox.own), mega(b.mostOfNginx.share), mega(b.mostOfNginx.own), ratio)
	fmt.Fprintf(text, "of cheeseboard's at the end: %.1f MB anonymous, which has Badger's tables in memory (5 MB each, two at most) in it, %.1f MB of Badger's files, %.1f MB of the program's own\n",
		mega(b.shares.anonymous), mega(b.shares.store), mega(b.shares.program))
	fmt.Fprintf(keys, "cheeseboard_store_mb: %.1f\ncheeseboard_program_mb: %.1f\n", mega(b.shares.store), mega(b.shares.program))
	fmt.Fprintf(keys, "nginx_mem_ratio: %.3f\ncheeseboard_mb: %.1f\ncheeseboard_anon_mb: %.1f\nnginx_mb: %.1f\n", ratio, mega(b.mostOfBox.share), mega(b.mostOfBox.own), mega(b.mostOfNginx.share))
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }

func stormy(text, keys *strings.Builder, s storms, pips int) {
	switch {
	case s.missing != nil:
		fmt.Fprintf(text, "no storm: %v\n", s.missing)
	case len(s.box) > 0:
		ratio := over(s.nginx, s.box, time.Duration.Seconds)
		ours, theirs := spreadOf(seconds(s.box)), spreadOf(seconds(s.nginx))
		fmt.Fprintf(text, "storm of %d pips: cheeseboard %s s, nginx %s s, nginx / cheeseboard = %s\n", pips, ours, theirs, ratio)
		keys.WriteString(ratio.keys("storm_ratio"))
	}
}

func seconds(list []time.Duration) []float64 {
	out := make([]float64, len(list))
	for i, d := range list {
		out[i] = d.Seconds()
	}
	return out
}
