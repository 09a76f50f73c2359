package main

import (
	"errors"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

func moveCommand(f *flags) *cobra.Command {
	var opts app.MoveOptions
	c := &cobra.Command{
		Use: "move FOLDER", Short: "Move the data folder to another disk, while it serves", Args: oneArgument("the new data folder"),
		Long: `Move the data folder to another disk, to a new or empty folder. A box that serves
goes on serving: everything is copied and read back first, then requests wait for
a moment. The old folder counts until all is there; a move that was stopped, or
cut off by a power failure, goes on when it is begun again.

Afterwards a mark in the old folder leads to the new one, so that the setting
"data" still works; change it when you can.`,
		RunE: func(c *cobra.Command, args []string) error {
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			opts.To = args[0]
			out := newConsole(c.OutOrStdout(), c.ErrOrStderr())
			err = app.RunMove(c.Context(), settings, log, opts, out.event)
			return errors.Join(out.close(), err)
		},
	}
	c.Flags().BoolVar(&opts.RemoveOld, "remove-old", false, "remove what lies in the old folder, but for the mark that leads to the new one")
	return c
}
