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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
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
