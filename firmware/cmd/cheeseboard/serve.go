package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

func serveCommand(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Serve the LAN and follow the upstream (the default)", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c, f) },
	}
	c.Flags().BoolVar(&f.forgive, "forgive", false, "come up in spite of mistakes in the configuration file, and report them: what is wrong keeps its default")
	return c
}

func serve(c *cobra.Command, f *flags) error {
	settings, forgiven, log, err := f.startServing()
	if err != nil {
		return err
	}
	opened := func(c app.Config) (*app.App, error) { return app.Open(c, log) }
	if f.forgive {
		strictly := opened
		opened = func(c app.Config) (*app.App, error) { return app.OpenForgiving(c, forgiven, strictly) }
	}
	if err := app.AwaitMachine(c.Context()); err != nil {
		if c.Context().Err() != nil {
			err = nil // it was told to end
		}
		return err
	}
	supervisor := app.OpenSupervisor(log)
	panel := app.OpenPanel(settings, log)
	only := ""
	if app.FindMachine() != nil {
		only = app.ConsoleOnly
	}
	panel.Say = func(text string) { _, _ = fmt.Fprintln(c.OutOrStdout(), only+text) } // as welcome does
	err = serveWith(c, settings, opened, panel, supervisor)
	return errors.Join(err, panel.Close(err), supervisor.Close())
}

// serveWith serves until the context ends, or the button says so.
func serveWith(c *cobra.Command, settings app.Config, opened func(app.Config) (*app.App, error), panel *app.Panel, supervisor *app.Supervisor) error {
	ctx, end := context.WithCancel(c.Context())
	defer end()
	var box *app.App
	err := app.TuneAfter(func() (err error) {
		box, err = opened(settings)
		return err
	}, app.MemoryServing)
	if err != nil {
		return err
	}
	box.UseMachine(app.FindMachine())
	box.Install(panel, end)
	box.Supervised(supervisor)
	if err := box.Confine(); err != nil {
		return errors.Join(err, box.Close())
	}
	err = box.Serve(ctx, func(address net.Addr) {
		welcome(c.OutOrStdout(), settings, address)
		welcomeSecure(c.OutOrStdout(), settings, box)
		if made, until := box.FirstPassphrase(); made != "" {
			to, shown := "", "it is shown this once"
			if until {
				to, shown = app.ConsoleOnly, "it is shown until it is first used"
			}
			_, _ = fmt.Fprintf(c.OutOrStdout(), "%s  administration: /admin/, passphrase %s (%s)\n", to, made, shown)
		}
	})
	return errors.Join(err, box.Close())
}

// welcomeSecure says where https is served, and how its root is checked.
func welcomeSecure(w io.Writer, settings app.Config, box *app.App) {
	address, fingerprint := box.Secure()
	if address == nil {
		return
	}
	text := ""
	for _, u := range app.IndexURLs(address, settings.Serve.Name) {
		text += "  https: " + "https" + strings.TrimPrefix(u, "http") + "\n"
	}
	if fingerprint != "" {
		text += "  root certificate: /ca.crt, SHA-256 " + fingerprint + "\n"
	}
	_, _ = io.WriteString(w, text) // as below
}

// welcome says where the index is and what to try.
func welcome(w io.Writer, settings app.Config, address net.Addr) {
	urls := app.IndexURLs(address, settings.Serve.Name)
	project := "requests"
	if len(settings.Sync.Projects) > 0 {
		project = "'" + settings.Sync.Projects[0] + "'"
	}
	text := fmt.Sprintf("cheeseboard %s serves %s\n", app.Version, settings.Data)
	for _, u := range urls {
		text += "  index: " + u + "\n"
	}
	if len(urls) > 0 {
		text += "  try:   " + app.PipCommand(urls[len(urls)-1], project) + "\n"
	}
	if len(urls) > 1 {
		text += "  from another machine:\n         " + app.PipCommand(urls[0], project) + "\n"
	}
	_, _ = io.WriteString(w, text) // where nobody reads, the box serves all the same
}
