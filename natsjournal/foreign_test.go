package natsjournal_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
	"github.com/jitney-go/jitney/wire"
)

const foreignID = "0192f3a0-5b1e-7c6d-8a4f-000000000001"

// headers are those of the example in section 3.1.4 of the NATS binding of CloudEvents, 1.0.3-wip, with a percent-encoded
// extension as in 3.1.3.2.
const headers = "NATS/1.0\r\n" +
	"ce-specversion: 1.0\r\nce-type: natstest.counted\r\nce-time: 2018-04-05T03:56:24Z\r\nce-id: %s\r\n" +
	"ce-source: /mycontext/subcontext\r\nce-datacontenttype: application/json\r\nce-extra: Euro%%20%%E2%%82%%AC%%20%%F0%%9F%%98%%80\r\n"

// structured is the same event as one JSON object.
const structured = `{"specversion":"1.0","type":"natstest.counted","time":"2018-04-05T03:56:24Z","id":"` + foreignID + `",` +
	`"source":"/mycontext/subcontext","datacontenttype":"application/json","extra":"Euro € 😀","data":{"Key":"k","N":7}}`

func TestCloudEventsOfOthersAreRead(t *testing.T) {
	s := listening(t)
	j := open(t, connecting(s.URL()))
	client := dial(t, s.URL())
	const data = `{"Key":"k","N":7}`
	at := "TEST.event.natstest.counted"
	client.publish(at, fmt.Sprintf(headers, foreignID)+"\r\n", data)                                                        // binary mode
	client.publish(at, fmt.Sprintf(headers, "not-a-uuid")+"Nats-Msg-Id: anything\r\n\r\n", data)                            // with an ID of its own
	client.publish(at, "NATS/1.0\r\nContent-Type: application/cloudevents+json\r\n\r\n", structured)                        // structured mode
	client.publish(at, "", structured)                                                                                      // as servers before 2.2 have it
	client.publish(at, strings.ReplaceAll(fmt.Sprintf(headers, foreignID), "ce-", "Ce-")+"\r\n", data)                      // names in any case
	client.publish(at, "NATS/1.0\r\ncontent-type: application/json\r\n\r\n", "{}")                                          // no event at all
	client.publish(at, fmt.Sprintf(headers, foreignID)+"ce-bad: %zz\r\n\r\n", data)                                         // damaged
	client.publish("TEST.event.other", strings.ReplaceAll(fmt.Sprintf(headers, foreignID), "json", "x")+"\r\n", "\x00\xff") // no JSON
	client.publish(at, fmt.Sprintf(headers, foreignID)+"\r\n", strings.Repeat("[", 1000)+strings.Repeat("]", 1000))         // too deep
	client.flush()

	c, err := j.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
	require.NoError(t, err)
	entries := next(t, c, 9)
	for i := range 5 {
		require.NoError(t, entries[i].Err, "%d", i)
		env := entries[i].Envelope
		assert.Equal(t, number(7), env.Event, "%d", i)
		assert.Equal(t, "/mycontext/subcontext", env.Source)
		assert.Equal(t, "Euro € 😀", env.Headers["extra"])
		assert.Equal(t, "2018-04-05T03:56:24Z", env.Time.UTC().Format("2006-01-02T15:04:05Z07:00"))
		if i != 1 {
			assert.Equal(t, uuid.MustParse(foreignID), env.ID)
		}
	}
	assert.Equal(t, "not-a-uuid", entries[1].Envelope.Headers[wire.OriginalID])
	require.ErrorIs(t, entries[5].Err, wire.ErrMalformed)
	require.ErrorIs(t, entries[6].Err, wire.ErrMalformed)
	raw := entries[7].Envelope.Event.(jitney.RawEvent)
	assert.Equal(t, "\x00\xff", string(raw.Data))
	assert.Equal(t, "application/x", raw.ContentType)
	require.ErrorIs(t, entries[8].Err, wire.ErrMalformed)
	assert.Contains(t, entries[8].Err.Error(), "position 9")
	require.NoError(t, c.Close(t.Context()))
}

func TestOthersCanReadWhatIsWritten(t *testing.T) {
	p := natstest.Embedded(t)
	j := open(t, p)
	sub, err := j.Conn.SubscribeSync("TEST.event.natstest.>")
	require.NoError(t, err)
	env := sealed(number(7))
	env.Source, env.Key, env.Headers = "/shop", "customer 17 ü\n", map[string]string{"tenant": `a "b" %`}
	require.NoError(t, j.Append(t.Context(), env))
	msg, err := sub.NextMsg(natstest.Patience)
	require.NoError(t, err)
	assert.Equal(t, "TEST.event.natstest.counted", msg.Subject)
	assert.JSONEq(t, `{"Key":"k","N":7}`, string(msg.Data))
	assert.Equal(t, nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {env.ID.String()}, "ce-source": {"/shop"}, "ce-type": {"natstest.counted"},
		"ce-time": {env.Time.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")}, "ce-datacontenttype": {"application/json"},
		"ce-partitionkey": {"customer%2017%20%C3%BC%0A"}, "ce-tenant": {"a%20%22b%22%20%25"},
		"content-type": {"application/json"}, "Nats-Msg-Id": {env.ID.String()},
	}, msg.Header)
}

// client speaks NATS by hand.
type client struct {
	t    testing.TB
	conn net.Conn
}

func dial(t testing.TB, url string) *client {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t, conn}
	c.write("CONNECT {\"verbose\":false,\"headers\":true}\r\n")
	return c
}

func (c *client) write(text string) {
	_, err := c.conn.Write([]byte(text))
	require.NoError(c.t, err)
}

func (c *client) publish(subject, header, data string) {
	if header == "" {
		c.write(fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(data), data))
		return
	}
	c.write(fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", subject, len(header), len(header)+len(data), header, data))
}

// flush returns when the server has all that was published.
func (c *client) flush() {
	c.write("PING\r\n")
	var said []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(said, []byte("PONG\r\n")) {
		n, err := c.conn.Read(buf)
		require.NoError(c.t, err)
		said = append(said, buf[:n]...)
	}
	require.NotContains(c.t, string(said), "-ERR")
}
