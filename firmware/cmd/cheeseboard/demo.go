package main

import (
	"github.com/spf13/cobra"

	"cheeseboard/firmware/demo"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "Be convinced, without any internet: mirror, cut the line, switch the index off, install", Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return demo.Run(c.Context(), c.OutOrStdout()) },
	}
}
