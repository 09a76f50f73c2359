package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

func updateCommand(f *flags) *cobra.Command {
	var opts app.UpdateOptions
	check, status, asJSON := false, false, false
	c := &cobra.Command{
		Use: "update [FILE]", Short: "Install a new version of the whole box, where it runs from our image",
		Long: `Install a new version of the whole box, where it runs from our image: from a bundle
in a file, or without one the newest release of update.releases.

The version goes to the part of the card that does not run; then the box restarts
into it, on trial. If it does not do well, the box goes back by itself, and says
why. Nothing that is stored is touched.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 || (check || status) && len(args) > 0 || check && status {
				return usageError{fmt.Errorf("%s takes one file, --check or --status; see %s --help", c.CommandPath(), c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			settings, _, err := f.start(true)
			if err != nil {
				return err
			}
			switch {
			case status:
				s, err := app.ReadMachine(c.Context())
				if err != nil {
					return err
				}
				return showMachine(c.OutOrStdout(), s, asJSON)
			case check:
				known, err := app.RunCheck(c.Context(), settings)
				if err != nil {
					return err
				}
				return showReleases(c.OutOrStdout(), known, asJSON)
			}
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			out := newConsole(c.OutOrStdout(), c.ErrOrStderr())
			err = app.RunUpdate(c.Context(), settings, path, opts, out.event)
			return errors.Join(out.close(), err)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "only ask whether there is a newer release")
	c.Flags().BoolVar(&status, "status", false, "only say what runs, what is on trial, and what was given back")
	c.Flags().BoolVar(&asJSON, "json", false, "with --check or --status: as JSON")
	c.Flags().BoolVar(&opts.Again, "again", false, "also a version that is not newer than the one that runs, down to the oldest that this allows")
	c.Flags().BoolVar(&opts.Stay, "stay", false, "do not restart now: the box does at an hour of update.hours, if update.automatic")
	return c
}

func showReleases(w io.Writer, r app.Releases, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	text := "nothing is released for this board\n"
	if r.Version != "" {
		text = fmt.Sprintf("version %s is the newest release (%s)", r.Version, bytesText(r.Bytes))
		if r.Notes != "" {
			text += ": " + r.Notes
		}
		if !r.Newer {
			text += "; there is no reason to install it"
		}
		text += "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

func showMachine(w io.Writer, s app.MachineState, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	_, err := io.WriteString(w, imageText(s))
	return err
}

// updatedText says what an update did.
func updatedText(u app.Updated) string {
	if u.Restarting {
		return fmt.Sprintf("update: version %s is in slot %d; the box restarts into it now, on trial", u.Version, u.Slot)
	}
	return fmt.Sprintf("update: version %s is in slot %d", u.Version, u.Slot)
}

// imageText says how the image is.
func imageText(s app.MachineState) string {
	text := fmt.Sprintf("image     version %s for %s, slot %d", s.Version, s.Board, s.Slot)
	switch t := s.Trial; {
	case s.NoUpdate != "":
		text += "; it cannot be updated: " + s.NoUpdate
	case t != nil && t.Missing != "":
		text += fmt.Sprintf(", on trial for %s: %s (%s are left)", t.Since.Round(time.Second), t.Missing, t.Within.Round(time.Second))
	case t != nil:
		text += fmt.Sprintf(", on trial for %s, and all is well so far", t.Since.Round(time.Second))
	}
	text += "\n"
	if s.Waiting != nil {
		text += fmt.Sprintf("          version %s is installed in slot %d, and waits to be started\n", s.Waiting.Version, s.Waiting.Slot)
	}
	if a := s.Accepted; a != nil {
		text += fmt.Sprintf("          version %s was accepted on %s\n", a.Version, a.When.Local().Format(time.DateTime))
	}
	if r := s.Refused; r != nil {
		text += fmt.Sprintf("          version %s was tried and given back on %s (attempts: %d): %s\n", r.Version, r.When.Local().Format(time.DateTime), r.Attempts, r.Reason)
	}
	return text
}
