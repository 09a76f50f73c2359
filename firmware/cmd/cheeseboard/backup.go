package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

func backupCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write metadata, settings and packages of your own to one file", Args: oneArgument("the file to write, or - for the standard output"),
		Long: `Write metadata and settings to one file: what is mirrored and why, pins, wishes,
the record of the line; and the packages that were uploaded here, which nobody else
has. Mirrored packages are not in it. The box may go on serving.

The file is whole or not there; its owner alone can read it, since a proxy's
password may be in it. Every board can read it, whatever made it.`,
		RunE: func(c *cobra.Command, args []string) error {
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			n, err := app.RunBackup(c.Context(), settings, log, args[0], c.OutOrStdout())
			if err != nil {
				return fmt.Errorf("back up to %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(c.ErrOrStderr(), "backup: %s written to %s\n", bytesText(n), args[0])
			return err
		},
	}
}

func restoreCommand(f *flags) *cobra.Command {
	var opts app.RestoreOptions
	c := &cobra.Command{
		Use: "restore FILE", Short: "Make the data folder's metadata from a backup", Args: oneArgument("the backup to read, or - for the standard input"),
		Long: `Make the data folder's metadata from a backup, in a new folder or in one that is
there, and the packages that were uploaded. Packages that are in the folder are taken over by their digests; those that
are not come with the next sync. A backup that is damaged, cut short or of a newer
program is refused, and nothing is changed.`,
		RunE: func(c *cobra.Command, args []string) error {
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			in := io.NopCloser(c.InOrStdin())
			if args[0] != "-" {
				if in, err = os.Open(args[0]); err != nil {
					return fmt.Errorf("restore: %w", err)
				}
			}
			out := newConsole(c.OutOrStdout(), c.ErrOrStderr())
			err = app.RunRestore(c.Context(), settings, log, in, opts, out.event)
			return errors.Join(out.close(), err, in.Close())
		},
	}
	c.Flags().BoolVar(&opts.Replace, "replace", false, "also where there are metadata; they are kept in meta.replaced")
	c.Flags().StringVar(&opts.Settings, "settings", "", "write the settings that are in the backup to this new file")
	return c
}

// oneArgument wants one argument, and says which.
func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s needs one argument, %s; see %s --help", c.CommandPath(), what, c.CommandPath())}
		}
		return nil
	}
}
