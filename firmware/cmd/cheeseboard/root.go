package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"cheeseboard/firmware/app"
)

// flags are those that every command has.
type flags struct {
	config string
	data   string
	listen string
	level  string
	set    []string

	forgive bool // of serve alone
}

// usageError is one about how the program was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func isUsage(err error) bool {
	var u usageError
	return errors.As(err, &u)
}

func newRoot() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "cheeseboard",
		Short: "A PyPI mirror in a box, for lines that break",
		Long: `A PyPI mirror in a box, for lines that break.

Without a command it serves: it listens, follows the upstream, and fetches what
its clients ask for. Settings come from cheeseboard.toml in the current folder
(or --config), then from CHEESEBOARD_* variables, then from flags;
"cheeseboard config" prints them all with their meaning.`,
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,

		SuggestionsMinimumDistance: 2, // letters that may be wrong

		RunE: func(c *cobra.Command, _ []string) error { return serve(c, f) },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	p := root.PersistentFlags()
	p.StringVar(&f.config, "config", "", "the configuration file (default: cheeseboard.toml, if it is here)")
	p.StringVar(&f.data, "data", "", "the data folder (the setting data: cheeseboard-data in the current folder)")
	p.StringVar(&f.listen, "listen", "", "the address to listen on (the setting serve.listen)")
	p.StringVar(&f.level, "log-level", "", "debug, info, warn or error (the setting log.level)")
	p.StringArrayVar(&f.set, "set", nil, "any setting, as `key=value`; may be repeated")
	root.AddCommand(serveCommand(f), syncCommand(f), statusCommand(f), verifyCommand(f), backupCommand(f), restoreCommand(f), moveCommand(f), updateCommand(f), tokenCommand(f), privateCommand(f), passphraseCommand(f), configCommand(f), versionCommand(), ledCommand(f), demoCommand())
	return root
}

func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s takes no argument %q", c.CommandPath(), args[0])
	if c.HasSubCommands() {
		text = fmt.Sprintf("there is no command %q", args[0])
		if names := c.SuggestionsFor(args[0]); len(names) > 0 {
			text += fmt.Sprintf("; did you mean %s?", names[0])
		}
	}
	return usageError{fmt.Errorf("%s; see %s --help", text, c.CommandPath())}
}

// settings gathers the configuration from file, environment and flags.
func (f *flags) settings() (app.Config, error) { return f.sources().Load() }

// sources are where the configuration comes from.
func (f *flags) sources() app.Settings {
	s := app.Settings{File: f.config, Environ: os.Environ()}
	for key, value := range map[string]string{"data": f.data, "serve.listen": f.listen, "log.level": f.level} {
		if value != "" {
			s.Set = append(s.Set, key+"="+value)
		}
	}
	s.Set = append(s.Set, f.set...)
	return s
}

// startServing is start for the command that serves, which may have to forgive.
func (f *flags) startServing() (app.Config, *app.Forgiven, *slog.Logger, error) {
	if !f.forgive {
		c, log, err := f.start(false)
		return c, nil, log, err
	}
	c, forgiven, err := f.sources().Forgive()
	if err != nil {
		return c, nil, nil, err
	}
	app.Tune(app.MemoryIngesting)
	return c, forgiven, app.NewLog(c), nil
}

// start gathers the configuration and makes its log. Commands that print their
// own progress log warnings only, unless a level was asked for.
func (f *flags) start(quiet bool) (app.Config, *slog.Logger, error) {
	c, err := f.settings()
	if err != nil {
		return c, nil, err
	}
	if quiet && c.Log.Level == slog.LevelInfo {
		c.Log.Level = slog.LevelError
	}
	app.Tune(app.MemoryIngesting)
	return c, app.NewLog(c), nil
}

func configCommand(f *flags) *cobra.Command {
	output := ""
	c := &cobra.Command{
		Use: "config", Short: "Print the settings in force, with comments, as a file that can be edited", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := f.settings()
			if err != nil {
				return err
			}
			if output != "" {
				return app.WriteConfig(output, settings)
			}
			_, err = c.OutOrStdout().Write(app.RenderConfig(settings))
			return err
		},
	}
	// A shell empties a file before the program can read it.
	c.Flags().StringVarP(&output, "output", "o", "", "write to this file, which may be the one that is read")
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the program's version", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "cheeseboard", app.Version)
			return err
		},
	}
}
