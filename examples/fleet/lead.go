package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/embedded"
)

// process is one that was started.
type process struct {
	role           string
	cmd            *exec.Cmd
	handled, again int
	killed         time.Time
	ended          chan struct{} // closed when it has, with err
	err            error
}

// fleet is what the first process knows of the others.
type fleet struct {
	config
	url string

	mu        sync.Mutex
	all       []*process
	last      map[string]*process // of each role, the one that has handled something last
	takeovers int
	slowest   time.Duration
}

func (c config) lead(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	s, err := embedded.Start(ctx, folder, embedded.WithPort(0))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	nc, err := s.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: books})
	if err != nil {
		return err
	}
	j, err := natsjournal.Open(ctx, nc, types(), options()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close(context.WithoutCancel(ctx))) }()
	f := &fleet{config: c, url: s.URL(), last: make(map[string]*process)}
	defer f.killAll()
	if err := f.storm(ctx); err != nil {
		return err
	}
	if err := settled(ctx, j); err != nil {
		return fmt.Errorf("not settled: %w", err)
	}
	events, err := j.End(ctx)
	if err != nil {
		return err
	}
	f.killAll()
	return f.report(ctx, kv, events, out)
}

// start starts a process, and counts the lines it prints.
func (f *fleet) start(role string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{role: role, ended: make(chan struct{})}
	p.cmd = exec.Command(program, "-role", role, "-url", f.url, "-orders", strconv.Itoa(f.orders)) //nolint:gosec // this program
	p.cmd.Stderr = os.Stderr
	lines, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.all = append(f.all, p)
	f.mu.Unlock()
	go func() {
		defer close(p.ended)
		for scan := bufio.NewScanner(lines); scan.Scan(); {
			f.count(p, scan.Text())
		}
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// count notes that p has handled something. What it did just before it was killed may not be among the lines.
func (f *fleet) count(p *process, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.handled++; line == "again" {
		p.again++
	}
	before := f.last[p.role]
	if before != nil && before != p && p.killed.IsZero() {
		f.takeovers++
		if !before.killed.IsZero() {
			f.slowest = max(f.slowest, time.Since(before.killed))
		}
	}
	if p.killed.IsZero() {
		f.last[p.role] = p
	}
}

// kill ends a process as a failure of its machine does.
func (f *fleet) kill(p *process) {
	f.mu.Lock()
	p.killed = time.Now()
	f.mu.Unlock()
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// storm starts all, kills and replaces some, and returns when a publisher has published everything.
func (f *fleet) storm(ctx context.Context) error {
	var running []*process
	for _, role := range []string{publisher, billing, billing, billing, shipping, shipping, shipping} {
		p, err := f.start(role)
		if err != nil {
			return err
		}
		running = append(running, p)
	}
	r := rand.New(rand.NewPCG(f.seed, 0)) //nolint:gosec // it is to be repeated
	for range f.kills {
		select {
		case <-time.After(f.every/2 + time.Duration(r.Int64N(int64(f.every)))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		i := r.IntN(len(running))
		f.kill(running[i])
		p, err := f.start(running[i].role)
		if err != nil {
			return err
		}
		running[i] = p
	}
	select {
	case <-running[0].ended:
		return running[0].err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *fleet) killAll() {
	f.mu.Lock()
	all := f.all
	f.mu.Unlock()
	for _, p := range all {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
	}
}

// settled waits until both groups have settled everything.
func settled(ctx context.Context, j *natsjournal.Journal) error {
	for {
		before, err := j.End(ctx)
		if err != nil {
			return err
		}
		places, err := j.Places(ctx)
		if err != nil {
			return err
		}
		after, err := j.End(ctx)
		if err != nil {
			return err
		}
		if before == after && len(places) == 2 && places[0].Done() && places[1].Done() {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// report prints the table, and says whether the books balance.
func (f *fleet) report(ctx context.Context, kv jetstream.KeyValue, events int64, out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	again := 0
	fmt.Fprintf(t, "processes started\t%d\nkills\t%d\nevents published\t%d\n", len(f.all), f.kills, events)
	for _, p := range f.all {
		if p.role != publisher {
			fmt.Fprintf(t, "  %s %d handled\t%d\n", p.role, p.cmd.Process.Pid, p.handled)
		}
		again += p.again
	}
	fmt.Fprintf(t, "handled again\t%d\ntakeovers\t%d\nslowest recovery\t%v\n", again, f.takeovers, f.slowest.Round(time.Millisecond))
	want, wrong := 0, 0
	sums := make(map[string]int)
	for n := range f.orders {
		want += order(n).Cents
		for _, role := range []string{billing, shipping} {
			e, err := kv.Get(ctx, effect(role, n))
			if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
				return err
			}
			cents := 0
			if err == nil {
				cents, err = strconv.Atoi(string(e.Value()))
			}
			if sums[role] += cents; err != nil || cents != order(n).Cents {
				wrong++
			}
		}
	}
	fmt.Fprintf(t, "ordered\t%.2f\ncharged\t%.2f\nshipped\t%.2f\n", float64(want)/100, float64(sums[billing])/100, float64(sums[shipping])/100)
	if err := t.Flush(); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("the books do not balance: %d effects are missing or wrong", wrong)
	}
	_, err := fmt.Fprintln(out, "balanced")
	return err
}
