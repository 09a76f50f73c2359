package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

func ledCommand(f *flags) *cobra.Command {
	machine := false
	c := &cobra.Command{
		Use: "led", Short: "Print what the light of the box says", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if machine {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(app.Legend())
			}
			return printLegend(c.OutOrStdout(), app.Legend())
		},
	}
	c.Flags().BoolVar(&machine, "json", false, "for machines, with the length of each step")
	c.AddCommand(ledDemoCommand(f))
	return c
}

func ledDemoCommand(f *flags) *cobra.Command {
	each := 9 * time.Second
	c := &cobra.Command{
		Use: "demo", Short: "Play each state on the light of this machine, and name it", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if each <= 0 {
				return usageError{fmt.Errorf("--each is %s: it must be longer than nothing", each)}
			}
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			return app.DemoLight(c.Context(), settings, log, each, func(s app.LightState) {
				_, _ = fmt.Fprintf(c.OutOrStdout(), "%s: %s (%s). %s\n", s.State, s.Rhythm, s.Colour, s.Meaning) // the light goes on all the same
			})
		},
	}
	c.Flags().DurationVar(&each, "each", each, "how long each state is played")
	return c
}

// printLegend writes a table of the rhythms, the most urgent first.
func printLegend(w io.Writer, rows []app.LightState) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "state\tlight\tcolour, where it has some\tmeaning"); err != nil {
		return err
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.State, r.Rhythm, r.Colour, r.Meaning); err != nil {
			return err
		}
	}
	return table.Flush()
}
