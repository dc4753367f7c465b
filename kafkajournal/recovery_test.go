package kafkajournal_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
)

// reopened is the next process, with the cursor that opened has made.
func reopened(t *testing.T, brokers []string, name string) (*process, jitney.Cursor) {
	t.Helper()
	p, err := begin(t.Context(), brokers, types(), kafkajournal.WithTopic(name))
	require.NoError(t, err)
	c, err := p.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 8})
	require.NoError(t, err)
	t.Cleanup(p.kill)
	return p, c
}

func TestAfterDeathsWhatWasInFlightIsGivenOneByOne(t *testing.T) {
	brokers := fake(t).ListenAddrs()
	p, c, name := opened(t, brokers, kafkajournal.WithPartitions(1))
	for n := range 3 {
		require.NoError(t, p.Append(t.Context(), envelope(counted{"", n + 1})))
	}
	for _, e := range next(t, c, 3) {
		require.Zero(t, e.Crashes)
	}
	p.kill()
	for deaths := 1; deaths <= 2; deaths++ {
		p, c = reopened(t, brokers, name)
		e := next(t, c, 1)[0]
		require.Equal(t, counted{"", 1}, e.Envelope.Event)
		require.Equal(t, deaths, e.Crashes)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		entries, _, err := c.Next(ctx, 10)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, entries, "while the first may kill the process")
		p.kill()
	}
	p, c = reopened(t, brokers, name)
	for n, crashes := range []int{3, 1, 1} {
		e := next(t, c, 1)[0]
		require.Equal(t, counted{"", n + 1}, e.Envelope.Event)
		require.Equal(t, crashes, e.Crashes)
		if n < 2 {
			c.Settle(e.Position, jitney.Settled)
		}
	}
	require.NoError(t, p.Close(t.Context()))
	_, c = reopened(t, brokers, name)
	e := next(t, c, 1)[0]
	require.Equal(t, counted{"", 3}, e.Envelope.Event)
	require.Zero(t, e.Crashes, "after a process that has ended as it should")
}

func TestAPlaceIsFoundThoughKafkaHasForgottenTheGroup(t *testing.T) {
	brokers := fake(t).ListenAddrs()
	p, c, name := opened(t, brokers, kafkajournal.WithPartitions(3))
	for n := range 4 {
		require.NoError(t, p.Append(t.Context(), envelope(counted{"", n + 1})))
	}
	for i, e := range next(t, c, 4) {
		if i != 1 && i != 3 {
			c.Settle(e.Position, jitney.Settled)
		}
	}
	require.NoError(t, p.Close(t.Context()))
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	deleted, err := kadm.NewClient(client).DeleteGroups(t.Context(), name+".s")
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	_, c = reopened(t, brokers, name)
	entries := next(t, c, 2)
	require.Equal(t, counted{"", 2}, entries[0].Envelope.Event)
	require.Equal(t, counted{"", 4}, entries[1].Envelope.Event)
}

func TestReplayGivesASubscriberAllFromATimeOn(t *testing.T) {
	brokers := fake(t).ListenAddrs()
	p, c, _ := opened(t, brokers, kafkajournal.WithPartitions(2))
	start := time.Now().Truncate(time.Millisecond)
	for n := range 4 {
		env := envelope(counted{"", n + 1})
		env.Time = start.Add(time.Duration(n) * time.Second)
		require.NoError(t, p.Append(t.Context(), env))
	}
	again := kafkajournal.Replay{Subscriber: "s", From: jitney.FromTime(start.Add(2 * time.Second))}
	for _, e := range next(t, c, 4) {
		c.Settle(e.Position, jitney.Settled)
	}
	require.ErrorIs(t, p.Replay(t.Context(), again), jitney.ErrInUse)
	require.NoError(t, c.Close(t.Context()))
	require.ErrorIs(t, p.Replay(t.Context(), kafkajournal.Replay{Subscriber: "nobody", From: jitney.FromBeginning()}), kafkajournal.ErrUnknownSubscriber)
	require.ErrorContains(t, p.Replay(t.Context(), kafkajournal.Replay{Subscriber: "s"}), "From")
	require.NoError(t, p.Replay(t.Context(), again))
	c, err := p.Open(t.Context(), jitney.Durable{Name: "s"})
	require.NoError(t, err)
	entries := next(t, c, 2)
	require.Equal(t, counted{"", 3}, entries[0].Envelope.Event)
	require.Equal(t, counted{"", 4}, entries[1].Envelope.Event)

	careful, err := p.Open(t.Context(), jitney.Durable{Name: "careful", SideEffects: true})
	require.NoError(t, err)
	require.NoError(t, careful.Close(t.Context()))
	again.Subscriber = "careful"
	require.ErrorIs(t, p.Replay(t.Context(), again), kafkajournal.ErrSideEffects)
	again.SideEffects = true
	require.NoError(t, p.Replay(t.Context(), again))
}

func TestWhatWasRemovedBeforeItWasReadIsSaid(t *testing.T) {
	cluster := fake(t)
	p, c, name := opened(t, cluster.ListenAddrs(), kafkajournal.WithPartitions(1))
	for n := range 4 {
		require.NoError(t, p.Append(t.Context(), envelope(counted{"", n + 1})))
	}
	require.NoError(t, c.Close(t.Context()))
	require.NoError(t, cluster.DeleteRecords(name, 0, 2))
	var said lines
	q, err := begin(t.Context(), cluster.ListenAddrs(), types(), kafkajournal.WithTopic(name), kafkajournal.WithLogger(said.logger()))
	require.NoError(t, err)
	defer q.kill()
	c, err = q.Open(t.Context(), jitney.Durable{Name: "s"})
	require.NoError(t, err)
	require.Equal(t, counted{"", 3}, next(t, c, 1)[0].Envelope.Event)
	require.Contains(t, said.text(), "events were removed before their subscriber has had them")
	require.Contains(t, said.text(), "from_offset=0 to_offset=1")
}
