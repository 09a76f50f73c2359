package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

func privateCommand(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use: "private", Short: "List, yank and delete packages that were uploaded", Args: noArguments,
		Long: `List, yank and delete packages that were uploaded here. The box may go on serving.

VERSION-OR-FILE is a version, all files of it, or the name of one file. Who asks for
exactly a version that is yanked still gets it; nobody else does. What is deleted is
gone for good, and its file name is never given to other bytes; the same bytes may be
uploaded again.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return runPrivate(c, f, app.PrivateOrder{Act: app.PrivateList}, listPrivate)
		},
	}
	reason := ""
	yank := withdrawCommand(f, "yank", "Mark files, so that only who asks for exactly that version gets them", "yanked", &reason)
	yank.Flags().StringVar(&reason, "reason", "", "why, for those who get it all the same")
	c.AddCommand(&cobra.Command{
		Use: "list [PROJECT]", Short: "List what was uploaded", Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes one project at most; see %s --help", c.CommandPath(), c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return runPrivate(c, f, app.PrivateOrder{Act: app.PrivateList, Project: strings.Join(args, "")}, listPrivate)
		},
	}, yank,
		withdrawCommand(f, "unyank", "Take that mark away", "yanked no more", nil),
		withdrawCommand(f, "delete", "Delete files for good", "deleted", nil))
	return c
}

// withdrawCommand makes the command for an act; done says what was done.
func withdrawCommand(f *flags, act, short, done string, reason *string) *cobra.Command {
	return &cobra.Command{
		Use: act + " PROJECT VERSION-OR-FILE", Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("%s needs a project, and a version or the name of a file; see %s --help", c.CommandPath(), c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			order := app.PrivateOrder{Act: app.PrivateAct(act), Project: args[0], Which: args[1]}
			if reason != nil {
				order.Reason = *reason
			}
			return runPrivate(c, f, order, func(w io.Writer, a app.PrivateAnswer) error {
				var errs []error
				for _, file := range a.Files {
					_, err := fmt.Fprintf(w, "%s: %s\n", done, file.Filename)
					errs = append(errs, err)
				}
				return errors.Join(errs...)
			})
		},
	}
}

func runPrivate(c *cobra.Command, f *flags, o app.PrivateOrder, show func(io.Writer, app.PrivateAnswer) error) error {
	return order(c, f, app.RunPrivate, o, show)
}

func listPrivate(w io.Writer, a app.PrivateAnswer) error {
	if len(a.Files) == 0 {
		_, err := fmt.Fprintln(w, "nothing was uploaded; twine and others do so with a token (cheeseboard token add)")
		return err
	}
	rows := [][]string{{"FILE", "SIZE", "UPLOADED", "YANKED"}}
	for _, x := range a.Files {
		uploaded, yanked := "", ""
		if !x.Uploaded.IsZero() {
			uploaded = x.Uploaded.Local().Format(time.DateOnly)
		}
		if x.Yanked {
			yanked = strings.TrimSuffix("yes: "+x.Reason, ": ")
		}
		rows = append(rows, []string{x.Filename, bytesText(x.Size), uploaded, yanked})
	}
	return writeTable(w, rows)
}
