// Orderflow runs a shop's orders through eight modules that know each other by their events alone.
//
//	go run ./examples/orderflow                          # a small sample with every kind of trouble in it
//	go run ./examples/orderflow -orders FILE             # CSV in the columns of UCI's Online Retail data
//	go run ./examples/orderflow -orders - -json < FILE   # standard input; one JSON object at the end
//	go run ./examples/orderflow -strict                  # what follows a dead letter of its customer waits
//	go run ./examples/orderflow -journal sqlite:FILE     # goes on where a killed run has left off
//	go run ./examples/orderflow -why A700121             # what an invoice has led to, attempt by attempt
//	go run ./examples/orderflow -map                     # which way events go, as a Mermaid flowchart
//	go run ./examples/orderflow -map=json                # the same as testdata/map.json has it
//
// Its events, and what its modules know, are in a SQLite file in a temporary folder, or where -journal says:
// sqlite:FILE, postgres://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE, or memory. With nats:embedded:FOLDER,
// nats://HOST:PORT or kafka://HOST:PORT,HOST:PORT the events are there, and what the modules know is in the database
// that -books names: it has the transactions that those have not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/jitney-go/jitney"
)

// Exit statuses.
const (
	exitOK        = 0
	exitFailed    = 1 // interrupted, or the books do not balance
	exitBadUsage  = 2 // flags, or an input that cannot be read at all
	defaultSeed   = 1
	defaultOrders = ""
)

// config is what the flags say.
type config struct {
	orders     string
	duplicates float64
	seed       uint64
	json       bool
	strict     bool
	journal    string
	why        string
	chart      format
	books      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is main without the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitBadUsage
	}
	in, err := await(ctx, func() (input, error) { return read(c, stdin, stderr) })
	if err != nil && !errors.Is(err, errStopped) {
		fmt.Fprintf(stderr, "orderflow: %v\n", err)
		return exitBadUsage
	}
	s, err := openStore(ctx, c.journal, c.books, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "orderflow: %v\n", err)
		return exitBadUsage
	}
	if s.temp != "" {
		fmt.Fprintf(stderr, "orderflow: if this is killed, it goes on with %s\n", s.again)
	}
	f := newFlow(c, s, stderr)
	if !c.json {
		defer f.watch(stdout)()
	}
	err = f.process(ctx, in)
	f.stopWatching()
	r, failed := f.report(context.WithoutCancel(ctx), in)
	err = errors.Join(err, failed)
	if c.json {
		err = errors.Join(err, r.writeJSON(stdout))
	} else {
		r.write(stdout)
		err = errors.Join(err, f.explain(context.WithoutCancel(ctx), stdout))
	}
	status := f.exit(err, r, stderr)
	if err := s.end(context.WithoutCancel(ctx), status == exitOK); err != nil {
		fmt.Fprintf(stderr, "orderflow: %v\n", err)
		return exitFailed
	}
	return status
}

func parse(args []string, stderr io.Writer) (c config, err error) {
	flags := flag.NewFlagSet("orderflow", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.orders, "orders", defaultOrders, "CSV `file` of invoices, plain or gzipped; - for standard input; none for the sample")
	flags.Float64Var(&c.duplicates, "duplicates", 0, "`share` of invoices that come in twice, 0 to 1")
	flags.Uint64Var(&c.seed, "seed", defaultSeed, "what fails, and what comes twice, follows from this `number`")
	flags.BoolVar(&c.strict, "strict", false, "what a customer did after a payment that cannot be settled waits for it")
	flags.StringVar(&c.journal, "journal", temporary, "`where` events are kept: memory, sqlite:FILE, postgres://…, mysql://…, nats:embedded:FOLDER, nats://… or kafka://…; none for a SQLite file in a temporary folder")
	flags.StringVar(&c.books, "books", "", "the `database` of what the modules know, for nats: and kafka:; none for a SQLite file in the server's folder, or a temporary one")
	flags.StringVar(&c.why, "why", "", "print at the end what this `invoice` has led to")
	flags.Var(&c.chart, "map", "print at the end which way events have gone, as a Mermaid flowchart; with -map=json as JSON")
	flags.BoolVar(&c.json, "json", false, "print one JSON object at the end, and nothing else")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	switch {
	case c.json && (c.why != "" || c.chart != ""):
		err = errors.New("-json prints nothing else: not -why, nor -map")
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !(c.duplicates >= 0 && c.duplicates <= 1):
		err = fmt.Errorf("-duplicates %v is not between 0 and 1", c.duplicates)
	}
	if err != nil {
		fmt.Fprintf(stderr, "orderflow: %v\n", err)
	}
	return c, err
}

// exit says how the run ended.
func (f *flow) exit(err error, r report, stderr io.Writer) int {
	var left *jitney.UnhandledError
	switch {
	case errors.As(err, &left):
		fmt.Fprintf(stderr, "orderflow: stopped; %d deliveries were accepted and not handled:\n", len(left.Unhandled))
		for i, u := range left.Unhandled {
			if i == 20 {
				fmt.Fprintf(stderr, "  and %d more\n", len(left.Unhandled)-i)
				break
			}
			fmt.Fprintf(stderr, "  %s to %s\n", u.Envelope, u.Subscriber)
		}
		return exitFailed
	case errors.Is(err, errStopped):
		fmt.Fprintf(stderr, "orderflow: %v; everything that had come in was handled\n", err)
		return exitFailed
	case err != nil:
		fmt.Fprintf(stderr, "orderflow: %v\n", err)
		return exitFailed
	case r.Unaccounted != 0 || !r.balanced():
		fmt.Fprintln(stderr, "orderflow: the books do not balance")
		return exitFailed
	}
	return exitOK
}
