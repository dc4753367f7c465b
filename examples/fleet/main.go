// Fleet runs a publisher and two groups of three processes on one NATS server, kills them at random, and shows that
// nothing was lost and nothing counted twice.
//
//	go run ./examples/fleet
//
// The server is in the first process, which starts the others, kills them (SIGKILL) and starts new ones in their place.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// config is what the flags say.
type config struct {
	orders int
	kills  int
	every  time.Duration
	seed   uint64

	role, url string // of a process that the first one has started
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "fleet: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var c config
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.IntVar(&c.orders, "orders", 12000, "how many orders there are")
	flags.IntVar(&c.kills, "kills", 20, "how many processes are killed")
	flags.DurationVar(&c.every, "every", 1500*time.Millisecond, "how long it is from one kill to the next, on average")
	flags.Uint64Var(&c.seed, "seed", 1, "who is killed, and when, follows from this `number`")
	flags.StringVar(&c.role, "role", "", "what a process is that the first one starts")
	flags.StringVar(&c.url, "url", "", "where its server is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.role != "" {
		return c.work(ctx, out)
	}
	return c.lead(ctx, out)
}
