package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

// order has the box, or the data folder where none serves, carry out an order that is
// done at once, and shows its answer.
func order[O, A any](c *cobra.Command, f *flags, run func(context.Context, app.Config, *slog.Logger, O) (A, error), o O, show func(io.Writer, A) error) error {
	settings, log, err := f.start(true)
	if err != nil {
		return err
	}
	answer, err := run(c.Context(), settings, log, o)
	if err != nil {
		return err
	}
	return show(c.OutOrStdout(), answer)
}

// writeTable prints rows in columns; the first row is the head.
func writeTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var errs []error
	for _, row := range rows {
		_, err := fmt.Fprintln(table, strings.Join(row, "\t"))
		errs = append(errs, err)
	}
	return errors.Join(append(errs, table.Flush())...)
}
