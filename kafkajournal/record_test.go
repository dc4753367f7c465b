package kafkajournal_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
	"github.com/jitney-go/jitney/wire"
)

// opened is a journal with a topic of its own, and a cursor at its beginning.
func opened(t *testing.T, brokers []string, opts ...kafkajournal.Option) (p *process, c jitney.Cursor, topicName string) {
	t.Helper()
	topicName = topic()
	p, err := begin(t.Context(), brokers, types(), append([]kafkajournal.Option{kafkajournal.WithTopic(topicName)}, opts...)...)
	require.NoError(t, err)
	c, err = p.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Close(ctx) // what a test has broken need not be closed well
	})
	return p, c, topicName
}

// next returns the next n entries.
func next(t *testing.T, c jitney.Cursor, n int) (entries []jitney.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(entries) < n {
		more, _, err := c.Next(ctx, n-len(entries))
		require.NoErrorf(t, err, "after %d of %d", len(entries), n)
		entries = append(entries, more...)
	}
	return entries
}

func headers(list ...string) (hs []kgo.RecordHeader) {
	for i := 0; i < len(list); i += 2 {
		hs = append(hs, kgo.RecordHeader{Key: list[i], Value: []byte(list[i+1])})
	}
	return hs
}

func TestRecordsOfOtherProgramsAreRead(t *testing.T) {
	brokers := fake(t).ListenAddrs()
	_, c, name := opened(t, brokers, kafkajournal.WithPartitions(1))
	id := uuid.Must(uuid.NewV7())
	other, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(name))
	require.NoError(t, err)
	defer other.Close()
	binary := []string{"ce_specversion", "1.0", "ce_id", id.String(), "ce_source", "/shop", "ce_type", "kafka.counted"}
	for _, r := range []*kgo.Record{
		{ // as in the binding's example of binary mode
			Key: []byte("mykey"), Value: []byte(`{"Key":"a","N":1}`),
			Headers: headers(append(binary, "ce_time", "2018-04-05T03:56:24Z",
				"content-type", "application/json; charset=utf-8", "traceparent", "not an attribute")...),
		},
		{ // and of structured mode
			Headers: headers("content-type", "application/cloudevents+json; charset=UTF-8"),
			Value:   []byte(`{"specversion":"1.0","type":"kafka.counted","source":"/mycontext/subcontext","id":"1234-1234-1234","partitionkey":"k","data":{"Key":"b","N":2}}`),
		},
		{Value: []byte("no event at all")},
		{Headers: headers(append(binary, "ce_id", "twice")...)},
		{Headers: headers(append(binary[:2:2], "ce_id", "x", "ce_source", "s", "ce_type", "deleted", "content-type", "text/plain")...)}, // without a value
		{Headers: headers(binary...), Value: []byte(strings.Repeat("[", 1000) + strings.Repeat("]", 1000))},
	} {
		require.NoError(t, other.ProduceSync(t.Context(), r).FirstErr())
	}
	entries := next(t, c, 6)
	first, second := entries[0].Envelope, entries[1].Envelope
	require.Equal(t, counted{"a", 1}, first.Event)
	require.Equal(t, id, first.ID)
	require.Equal(t, "mykey", first.Key)
	require.Equal(t, "/shop", first.Source)
	require.Equal(t, time.Date(2018, 4, 5, 3, 56, 24, 0, time.UTC), first.Time)
	require.Equal(t, counted{"b", 2}, second.Event)
	require.Equal(t, "k", second.Key)
	require.Equal(t, "1234-1234-1234", second.Headers[wire.OriginalID])
	require.ErrorIs(t, entries[2].Err, wire.ErrMalformed)
	require.ErrorContains(t, entries[2].Err, "offset 2")
	require.NotContains(t, entries[2].Err.Error(), "no event at all")
	require.ErrorIs(t, entries[3].Err, wire.ErrMalformed)
	require.Equal(t, jitney.RawEvent{Type: "deleted", Version: 1, ContentType: "text/plain"}, entries[4].Envelope.Event)
	require.ErrorIs(t, entries[5].Err, wire.ErrMalformed, "it is too deep")
	require.ErrorContains(t, entries[5].Err, "offset 5")
}

func TestAKeyIsWhereJavaClientsPutItAndEventsWithoutOneInTheFirstPartition(t *testing.T) {
	brokers := fake(t).ListenAddrs()
	p, _, name := opened(t, brokers, kafkajournal.WithPartitions(5))
	for _, key := range []string{"", "21", "foobar", "", "a-little-bit-long-string", "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"} {
		require.NoError(t, p.Append(t.Context(), envelope(counted{Key: key})))
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(name))
	require.NoError(t, err)
	defer reader.Close()
	got := make(map[string][]int32)
	for n := 0; n < 6; {
		reader.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) { got[string(r.Key)], n = append(got[string(r.Key)], r.Partition), n+1 })
	}
	// The hashes are those of Kafka's own UtilsTest.testMurmur2, as toPositive makes them, modulo 5.
	positive := func(hash int32) []int32 { return []int32{(hash & 0x7fffffff) % 5} }
	require.Equal(t, map[string][]int32{
		"": {0, 0}, "21": positive(-973932308), "foobar": positive(-790332482), "a-little-bit-long-string": positive(-985981536),
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": positive(-58897971),
	}, got)
}

func TestWhatTheTopicDoesNotTakeIsRefusedByName(t *testing.T) {
	cluster := fake(t)
	name := topic()
	small := "1500"
	durable := "2"
	forever := "-1"
	require.NoError(t, cluster.CreateTopic(name, 1, map[string]string{"max.message.bytes": small, "min.insync.replicas": durable, "retention.ms": forever}))
	p, err := begin(t.Context(), cluster.ListenAddrs(), types(), kafkajournal.WithTopic(name))
	require.NoError(t, err)
	big := envelope(jitney.RawEvent{Type: "big", Version: 1, Data: make([]byte, 1400)})
	err = p.Append(t.Context(), envelope(counted{"a", 1}), big)
	require.ErrorIs(t, err, wire.ErrPayloadTooLarge)
	require.ErrorContains(t, err, "max.message.bytes is 1500")
	end, err := p.End(t.Context())
	require.NoError(t, err)
	require.Zero(t, end)
	require.NoError(t, p.Append(t.Context(), envelope(jitney.RawEvent{Type: "fits", Version: 1, Data: make([]byte, 900)})))
	require.NoError(t, p.Close(t.Context()))
}
