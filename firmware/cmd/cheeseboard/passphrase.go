package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cheeseboard/firmware/app"
)

func passphraseCommand(f *flags) *cobra.Command {
	generate := false
	c := &cobra.Command{
		Use: "passphrase", Short: "Set the passphrase for administration at /admin/", Args: noArguments,
		Long: `Set the passphrase for administration at /admin/. It is asked for, or read from
the standard input, one line. All sessions end. The box may go on serving.`,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, log, err := f.start(true)
			if err != nil {
				return err
			}
			wanted := ""
			if !generate {
				if wanted, err = readPassphrase(c.InOrStdin(), c.ErrOrStderr()); err != nil {
					return err
				}
			}
			set, err := app.RunPassphrase(c.Context(), settings, log, wanted)
			if err != nil {
				return fmt.Errorf("set the passphrase: %w", err)
			}
			if generate {
				_, err = fmt.Fprintln(c.OutOrStdout(), set)
			}
			return err
		},
	}
	c.Flags().BoolVar(&generate, "generate", false, "make one, and print it")
	return c
}

// readPassphrase asks for a passphrase twice, without showing it, where there is a
// terminal; else it reads a line.
func readPassphrase(in io.Reader, out io.Writer) (string, error) {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usageError{errors.Join(errors.New("the standard input has no passphrase; --generate makes one"), err)}
		}
		return line, nil
	}
	var typed [2]string
	for i, prompt := range []string{"Passphrase: ", "Again: "} {
		_, _ = fmt.Fprint(out, prompt) // it is typed blindly, then
		raw, err := term.ReadPassword(int(file.Fd()))
		_, _ = fmt.Fprintln(out)
		if err != nil {
			return "", fmt.Errorf("read passphrase: %w", err)
		}
		typed[i] = string(raw)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two are not the same; nothing was changed")
	}
	return typed[0], nil
}
