// Command tgtrunk makes a Telegram account a trunk of a PBX.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // opening hours have time zones, and containers have no files of them

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// untilSignal returns a context that ends with SIGTERM or Ctrl-C. Who presses Ctrl-C again does not want to wait for calls to
// end, and is obeyed at once.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	return ctx, stop
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "tgtrunk",
		Short:         "A Telegram account as a trunk of your PBX",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newRunCommand(),
		newLoginCommand(),
		newAccountCommand(),
		newCallsCommand(),
		newConfigCommand(),
		newCIDCommand(),
		newRouteCommand(),
		newFreeSWITCHCommand(),
		newDemoCommand(),
		newBenchCommand(),
		newCloudCommand(),
		newPeerCommand(),
		newVersionCommand(),
	)
	return root
}

// newGroup makes a command that only has others below it refuse what it does not know: by itself it would print its help, and
// "tgtrunk config chekc && systemctl restart tgtrunk" would go on.
func newGroup(c *cobra.Command) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q for %q: see %s --help", args[0], c.CommandPath(), c.CommandPath())
		}
		return c.Help()
	}
	return c
}
