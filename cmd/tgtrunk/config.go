package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/config"
)

// configFlag adds --config to a command.
func configFlag(c *cobra.Command) *string {
	path := new(string)
	configVar(c, path)
	return path
}

// configVar is configFlag for a command that keeps its flags together.
func configVar(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", "tgtrunk.yaml", "configuration file")
}

func newConfigCommand() *cobra.Command {
	parent := newGroup(&cobra.Command{Use: "config", Short: "Work with the configuration"})
	check := &cobra.Command{
		Use:   "check",
		Short: "Say whether the configuration is right; every mistake with its line",
		Args:  cobra.NoArgs,
	}
	path := configFlag(check)
	check.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		for _, w := range cfg.Table.Warnings() {
			fmt.Fprintf(c.ErrOrStderr(), "%s:%d: warning: %s\n", cfg.Path, w.Line, w.Text)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s is right: %d accounts, %d PBX links, %d routes\n",
			cfg.Path, len(cfg.Accounts), len(cfg.PBX), len(cfg.Routes))
		return err
	}
	parent.AddCommand(check)
	return parent
}
