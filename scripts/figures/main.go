// Command figures runs the Go benchmarks of the packages that are named, and
// prints what they measured: first a table for people, then one `key: value`
// line per figure for programs. Keys are in snake case and end with the unit,
// as in `put_commit_1mb_us: 812.4`; times are always microseconds. Progress and
// errors go to the standard error output.
//
// Figures are medians. With -short each benchmark runs once and briefly, and
// all of them have to fit into the budget of time; what did not is named, and
// the exit status is 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	short := flag.Bool("short", false, "one brief run of each benchmark instead of several")
	match := flag.String("match", ".", "run only benchmarks whose name matches this regular `expression`")
	budget := flag.Duration("budget", 0, "stop after this `time` of measuring (default 40s with -short, else 30m)")
	flag.Parse()

	effort := effort{benchtime: "1s", count: 5, budget: 30 * time.Minute}
	if *short {
		effort.benchtime, effort.count, effort.budget = "100ms", 1, 40*time.Second
	}
	if *budget > 0 {
		effort.budget = *budget
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	measured, err := measure(ctx, effort, *match, flag.Args())
	if printErr := report(os.Stdout, figures(measured)); err == nil {
		err = printErr
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// report prints the table and the lines.
func report(w io.Writer, figures []figure) error {
	if len(figures) == 0 {
		return nil
	}
	var rows, lines bytes.Buffer
	rows.WriteString("benchmark\tus\tspread\truns\tmore\n")
	for i := 0; i < len(figures); {
		end := i + 1
		for end < len(figures) && figures[end].title() == figures[i].title() {
			end++
		}
		rows.WriteString(row(figures[i:end]))
		i = end
	}
	for _, f := range figures {
		fmt.Fprintf(&lines, "%s: %s\n", f.key, f.number())
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := table.Write(rows.Bytes())
	if err := errors.Join(err, table.Flush()); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	_, err = fmt.Fprintf(w, "\nmeasured on %s/%s with %d processors, %s\n\n%s",
		runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version(), lines.Bytes())
	if err != nil {
		return fmt.Errorf("print the figures: %w", err)
	}
	return nil
}

// row is the line of the table for one benchmark. The time comes first, unless
// the benchmark suppressed it because it means nothing.
func row(figures []figure) string {
	took, rest := "-", figures
	if figures[0].unit == "us" {
		took, rest = figures[0].number(), figures[1:]
	}
	var more []string
	for _, f := range rest {
		more = append(more, f.number()+" "+f.unit)
	}
	f := figures[0]
	return fmt.Sprintf("%s\t%s\t%.0f %%\t%d\t%s\n", f.title(), took, 100*f.spread, f.runs, strings.Join(more, ", "))
}
