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

func tokenCommand(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Make, list and remove the tokens by which packages are uploaded", Args: noArguments,
		Long: `Make, list and remove the tokens by which packages are uploaded, and read where
access.read asks for one. The box may go on serving.

A token is shown once, when it is made; only a digest of it is kept.`,
		RunE: func(c *cobra.Command, _ []string) error { return runToken(c, f, app.TokenOrder{}, listTokens) },
	}
	c.AddCommand(tokenAddCommand(f), tokenRemoveCommand(f), &cobra.Command{
		Use: "list", Short: "List the tokens", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return runToken(c, f, app.TokenOrder{}, listTokens) },
	})
	return c
}

func tokenAddCommand(f *flags) *cobra.Command {
	made := app.NewToken{}
	read := false
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a token; NAME says whose it is", Args: oneArgument("whose the token is, such as \"build server\""),
		RunE: func(c *cobra.Command, args []string) error {
			made.Name, made.Scope = args[0], app.TokenUpload
			if read {
				made.Scope = app.TokenRead
			}
			return runToken(c, f, app.TokenOrder{Add: &made}, func(w io.Writer, a app.TokenAnswer) error {
				_, err := fmt.Fprintf(w, "%s\n", a.Secret)
				_, also := fmt.Fprintf(c.ErrOrStderr(), "The token %s (%s) is above; it is shown this once. The user that goes with it is __token__.\n", a.Made.ID, a.Made.Name)
				return errors.Join(err, also)
			})
		},
	}
	c.Flags().StringSliceVar(&made.Names, "projects", nil, "only these names, each * for any run of characters (default: all of private.names)")
	c.Flags().BoolVar(&read, "read", false, "good for reading only, where access.read asks for a token")
	return c
}

func tokenRemoveCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Remove a token, by its ID or its name", Args: oneArgument("the ID of a token, or its name"),
		RunE: func(c *cobra.Command, args []string) error {
			return runToken(c, f, app.TokenOrder{Remove: args[0]}, func(w io.Writer, a app.TokenAnswer) error {
				_, err := fmt.Fprintf(w, "token: %s (%s) is good for nothing any more\n", a.Removed.ID, a.Removed.Name)
				return err
			})
		},
	}
}

func runToken(c *cobra.Command, f *flags, o app.TokenOrder, show func(io.Writer, app.TokenAnswer) error) error {
	return order(c, f, app.RunToken, o, show)
}

func listTokens(w io.Writer, a app.TokenAnswer) error {
	if len(a.Tokens) == 0 {
		_, err := fmt.Fprintln(w, "there are no tokens; cheeseboard token add makes one")
		return err
	}
	rows := [][]string{{"ID", "NAME", "GOOD FOR", "MADE"}}
	for _, t := range a.Tokens {
		scope := string(t.Scope)
		if len(t.Names) > 0 {
			scope += " of " + strings.Join(t.Names, ", ")
		}
		rows = append(rows, []string{t.ID, t.Name, scope, t.Made.Local().Format(time.DateOnly)})
	}
	return writeTable(w, rows)
}
