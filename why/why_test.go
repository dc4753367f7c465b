package why_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/why"
)

var update = flag.Bool("update", false, "write testdata down anew")

type (
	placed  struct{ Invoice, Secret string }
	charged struct{ Invoice string }
	shipped struct{ Invoice string }
)

// priceOf is a question.
type priceOf struct {
	jitney.Returns[int]
	Secret string
}

func (priceOf) EventType() string { return "pricing.price_of" }

func (placed) EventType() string  { return "orders.placed" }
func (p placed) EventKey() string { return "key-" + p.Secret }
func (charged) EventType() string { return "payments.charged" }
func (shipped) EventType() string { return "shipping.shipped" }

var silent = jitney.WithLogger(slog.New(slog.DiscardHandler))

// shop runs f beside a shop in a synctest bubble.
func shop(t *testing.T, r *why.Recorder, f func(t *testing.T, b *jitney.Bus)) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithSource("shop"), jitney.WithRecorder(r))
		retry := jitney.Retry{Attempts: 5, Base: 100 * time.Millisecond, Max: 100 * time.Millisecond, Jitter: jitney.NoJitter}
		jitney.Subscribe(b, "billing", func(ctx context.Context, p placed) error {
			time.Sleep(1500 * time.Microsecond)
			if jitney.FromContext(ctx).Attempt == 1 {
				return errors.New("card\n\tdeclined")
			}
			return b.Publish(ctx, charged{p.Invoice})
		}, jitney.WithRetry(retry))
		jitney.Subscribe(b, "mailer", func(ctx context.Context, _ placed) error {
			if jitney.FromContext(ctx).Attempt < 3 {
				return errors.New("smtp: timeout")
			}
			return errors.New("smtp: 421")
		}, jitney.WithRetry(retry))
		jitney.Subscribe(b, "shipping", func(ctx context.Context, c charged) error {
			time.Sleep(20 * time.Millisecond)
			return b.Publish(ctx, shipped(c))
		})
		jitney.Subscribe(b, "points", func(context.Context, charged) error { return jitney.Skip(errors.New("no member")) })
		jitney.Subscribe(b, "ledger", func(context.Context, charged) error {
			return jitney.RetryAfter(48*time.Hour, errors.New("locked"))
		}, jitney.WithRetry(retry))
		jitney.Subscribe(b, "reports", func(context.Context, charged) error { return nil }).Pause()
		f(t, b)
		_ = b.Shutdown(context.Background())
	})
}

// renamed gives the events of f IDs that a file can have.
func renamed(f why.Flow) why.Flow {
	names := make(map[uuid.UUID]uuid.UUID)
	for i := range f.Events {
		names[f.Events[i].ID] = number(i)
	}
	for i := range f.Events {
		e := &f.Events[i]
		e.ID = names[e.ID]
		if to, known := names[e.Cause]; known {
			e.Cause = to
		}
	}
	return f
}

func number(i int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("01990000-0000-7000-8000-%012d", i+1))
}

// golden compares text with the file.
func golden(t *testing.T, file, text string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), text, "if the change is meant: go test ./why -update")
}

func TestAFlowIsToldAsATree(t *testing.T) {
	r := &why.Recorder{}
	shop(t, r, func(t *testing.T, b *jitney.Bus) {
		ctx := jitney.ContextWithCorrelation(t.Context(), "invoice 7")
		require.NoError(t, b.Publish(ctx, placed{"7", "4711"}))
		time.Sleep(time.Hour)
		f, known := r.Flow("invoice 7")
		require.True(t, known)
		byEvent, known := r.FlowOf(f.Events[2].ID)
		require.True(t, known)
		assert.Equal(t, f, byEvent)
		f = renamed(f)
		golden(t, "flow.txt", f.String())
		golden(t, "flow.mmd", f.Mermaid())
		wellFormed(t, f.Mermaid())
		assert.NotContains(t, f.String()+f.Mermaid(), "4711", "neither payload nor key is shown")
	})
}

func TestAFlowFromEnvelopesAloneHangsEventsFromTheirCauses(t *testing.T) {
	at := time.Date(2026, 11, 21, 18, 4, 11, 120e6, time.UTC)
	envelope := func(i int, typ string, cause uuid.UUID) *jitney.Envelope {
		return &jitney.Envelope{ID: number(i), Type: typ, Time: at.Add(time.Duration(i) * time.Second), Source: "shop",
			Correlation: "invoice 7", CausationID: cause}
	}
	var f why.Flow
	f.Missing = 6
	f.Add(envelope(3, "mail.sent", number(1)), envelope(0, "orders.placed", uuid.Nil), envelope(1, "payments.charged", number(0)))
	f.Add(envelope(1, "payments.charged", number(0)), envelope(4, "orders.rated", number(90)))
	assert.Equal(t, "invoice 7", f.Correlation)
	assert.Equal(t, 2, f.Missing)
	golden(t, "envelopes.txt", f.String())
}

func TestARedeliveryAndARefusalAreTold(t *testing.T) {
	r := &why.Recorder{}
	synctest.Test(t, func(t *testing.T) {
		ctx := jitney.ContextWithCorrelation(t.Context(), "c")
		letters, broken := &jitney.MemoryDeadLetters{}, true
		b := jitney.New(silent, jitney.WithRecorder(r), jitney.WithDeadLetters(letters))
		jitney.Subscribe(b, "billing", func(context.Context, placed) error {
			if broken {
				return jitney.Permanent(errors.New("card declined"))
			}
			return nil
		})
		full := jitney.Subscribe(b, "full", func(context.Context, placed) error { return nil },
			jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))
		full.Pause()
		require.NoError(t, b.Publish(t.Context(), placed{}))
		err := b.Publish(ctx, placed{})
		var refused *jitney.PublishError
		require.ErrorAs(t, err, &refused)
		full.Resume()
		require.NoError(t, b.Flush(ctx))
		require.NoError(t, b.Forward(ctx, refused.Envelope, refused.Subscribers()...))
		broken = false
		list, err := letters.List(ctx, jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.NoError(t, b.Redeliver(ctx, list[1]))
		require.NoError(t, b.Shutdown(ctx))
	})
	f, _ := r.Flow("c")
	golden(t, "again.txt", renamed(f).String())
}

// A question hangs from the delivery that has asked it, and what its answerer publishes from the question's.
func TestAQuestionIsToldBelowWhoAsks(t *testing.T) {
	r := &why.Recorder{}
	synctest.Test(t, func(t *testing.T) {
		ctx := jitney.ContextWithCorrelation(t.Context(), "invoice 7")
		b := jitney.New(silent, jitney.WithSource("shop"), jitney.WithRecorder(r))
		jitney.Answer(b, "pricing", func(ctx context.Context, q priceOf) (int, error) {
			time.Sleep(20 * time.Millisecond)
			if q.Secret == "" {
				return 0, errors.New("no such thing")
			}
			return 1, b.Publish(ctx, shipped{})
		})
		jitney.Subscribe(b, "billing", func(ctx context.Context, p placed) error {
			if _, err := jitney.Ask(ctx, b, priceOf{Secret: p.Secret}); err != nil {
				return err
			}
			_, err := jitney.Ask(ctx, b, priceOf{})
			return jitney.Permanent(err)
		})
		require.NoError(t, b.Publish(ctx, placed{"7", "4711"}))
		require.NoError(t, b.Flush(ctx))
		_, err := jitney.Ask(ctx, b, priceOf{Secret: "4711"})
		require.NoError(t, err)
		require.NoError(t, b.Shutdown(ctx))
	})
	f, known := r.Flow("invoice 7")
	require.True(t, known)
	f = renamed(f)
	golden(t, "question.txt", f.String())
	golden(t, "question.mmd", f.Mermaid())
	wellFormed(t, f.Mermaid())
	assert.NotContains(t, f.String()+f.Mermaid(), "4711")
}

// What cannot be told where it belongs is told all the same: each event once.
func TestEventsThatAreEachOthersCauseAreTold(t *testing.T) {
	var f why.Flow
	f.Add(&jitney.Envelope{ID: number(0), Type: "a", CausationID: number(1)},
		&jitney.Envelope{ID: number(1), Type: "b", CausationID: number(0)},
		&jitney.Envelope{ID: number(2), Type: "c", CausationID: number(2)})
	for i := range 3 {
		assert.Equal(t, 1, strings.Count(f.String(), "  "+string(rune('a'+i))+" ")+strings.Count(f.String(), "─ "+string(rune('a'+i))+" "))
	}
	wellFormed(t, f.Mermaid())
}

var statement = regexp.MustCompile(`^  (?:(\w+)(\(\[".*"\]\)|\[".*"\])|(\w+) --> (\w+)|classDef \w+ [#\w:,-]+|class [\w,]+ \w+)$`)

// wellFormed holds a flowchart to what Mermaid needs: each line one statement, each ID made once and before it is used,
// and nothing within quotes that could end them or mean something. Node IDs that begin with o or x would be read as
// the heads of arrows.
func wellFormed(t *testing.T, chart string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(chart, "\n"), "\n")
	require.Equal(t, "flowchart LR", lines[0])
	ids := make(map[string]bool)
	for _, l := range lines[1:] {
		m := statement.FindStringSubmatch(l)
		require.NotNil(t, m, "no statement: %s", l)
		switch {
		case m[1] != "":
			assert.False(t, ids[m[1]], "made twice: %s", l)
			assert.NotContains(t, "ox", m[1][:1])
			ids[m[1]] = true
			text := strings.Trim(m[2], `()[]`)
			text = strings.ReplaceAll(text[1:len(text)-1], "<br/>", "")
			assert.NotRegexp(t, "[\"`<>\\[\\]{}|\\\\*_&;]", regexp.MustCompile(`#\d+;`).ReplaceAllString(text, ""), l)
		case m[3] != "":
			assert.True(t, ids[m[3]] && ids[m[4]], "not made yet: %s", l)
		}
	}
}

func FuzzTextsAreHarmless(f *testing.F) {
	for _, s := range []string{"", `a"]`, "`**x**`", "<script>", "a\nb\x1b[31m", "#35;", strings.Repeat("é", 500), "\xff\xfe", "end"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := &why.Recorder{}
		env := &jitney.Envelope{ID: number(0), Type: s, Correlation: s, Source: s}
		r.Published(env, &jitney.Delivery{}, []string{"one"})
		r.Attempted(jitney.Attempted{Delivery: jitney.Delivery{Envelope: env, Subscriber: "one", Attempt: 1}, Error: s, Outcome: "dead"})
		flow, _ := r.FlowOf(number(0))
		wellFormed(t, flow.Mermaid())
		text := flow.String()
		assert.Equal(t, 3, strings.Count(text, "\n"))
		assert.NotContains(t, text, "\x1b")
		assert.Less(t, len(text), 1200)
	})
}

func TestARecorderKeepsWithinItsBounds(t *testing.T) {
	for _, c := range []struct {
		name          string
		events, flows int
	}{{"events", 10, 1000}, {"flows", 1000, 5}} {
		t.Run(c.name, func(t *testing.T) {
			r := &why.Recorder{Events: c.events, Flows: c.flows}
			told := func(i int, flow string) {
				env := &jitney.Envelope{ID: number(i), Type: "test.event", Correlation: flow, Source: "shop"}
				r.Published(env, &jitney.Delivery{}, nil)
			}
			for i := range 10 {
				told(i, fmt.Sprint(i/2))
			}
			assert.Equal(t, []string{"0", "1", "2", "3", "4"}, r.Correlations())
			told(10, "0") // which is not quiet any more
			if c.flows == 5 {
				told(11, "5")
			}
			_, known := r.Flow("1")
			assert.False(t, known)
			_, known = r.FlowOf(number(2))
			assert.False(t, known)
			f, known := r.Flow("0")
			require.True(t, known)
			assert.Len(t, f.Events, 3)
			assert.Equal(t, 2, r.Forgotten())
		})
	}
}

func TestOfAFlowThatIsTooLargeTheEarliestEventsAreForgotten(t *testing.T) {
	r := &why.Recorder{Events: 3}
	for i := range 6 {
		env := &jitney.Envelope{ID: number(i + 1), Type: "test.event", Correlation: "c"}
		if i > 0 {
			env.CausationID = number(i)
		}
		r.Published(env, &jitney.Delivery{Subscriber: "loop"}, nil)
	}
	late := &jitney.Envelope{ID: number(0), Type: "test.late", Correlation: "c"}
	r.Attempted(jitney.Attempted{Delivery: jitney.Delivery{Envelope: late, Subscriber: "loop", Attempt: 1}, Outcome: "handled"})
	f, _ := r.Flow("c")
	require.Len(t, f.Events, 3)
	assert.Equal(t, "test.late", f.Events[0].Type, "what is told now is not forgotten for it")
	assert.Equal(t, 4, f.Missing)
	assert.Contains(t, f.String(), "\n… 4 earlier events not kept\n")
	assert.Contains(t, f.String(), "by loop, because of "+number(4).String()+", which is not here")
	wellFormed(t, f.Mermaid())
	_, known := r.FlowOf(number(1))
	assert.False(t, known)
}

func TestARecorderKeepsOnlyWhatItIsTold(t *testing.T) {
	r := &why.Recorder{Only: func(env *jitney.Envelope) bool { return env.Correlation == "wanted" }}
	for i, c := range []string{"wanted", "other", "wanted"} {
		env := &jitney.Envelope{ID: number(i), Type: "test.event", Correlation: c}
		r.Published(env, &jitney.Delivery{}, []string{"s"})
		r.Attempted(jitney.Attempted{Delivery: jitney.Delivery{Envelope: env, Subscriber: "s", Attempt: 1}, Outcome: "handled"})
	}
	assert.Equal(t, []string{"wanted"}, r.Correlations())
	f, _ := r.Flow("wanted")
	assert.Len(t, f.Events, 2)
	assert.Zero(t, r.Forgotten())
}

// What is recorded later is not in a flow that was asked for before.
func TestAFlowIsACopy(t *testing.T) {
	r := &why.Recorder{}
	env := &jitney.Envelope{ID: number(0), Type: "test.event", Correlation: "c"}
	a := jitney.Attempted{Delivery: jitney.Delivery{Envelope: env, Subscriber: "s", Attempt: 1}, Outcome: "retry"}
	r.Published(env, &jitney.Delivery{}, []string{"s"})
	before, _ := r.Flow("c")
	r.Attempted(a)
	once, _ := r.Flow("c")
	r.Attempted(a)
	assert.Empty(t, before.Events[0].Deliveries[0].Attempts)
	assert.Len(t, once.Events[0].Deliveries[0].Attempts, 1)
}

func TestOfManyAttemptsTheMiddleIsForgotten(t *testing.T) {
	r := &why.Recorder{}
	env := &jitney.Envelope{ID: number(0), Type: "test.event"}
	for n := range 40 {
		r.Attempted(jitney.Attempted{Delivery: jitney.Delivery{Envelope: env, Subscriber: "s", Attempt: n + 1}, Outcome: "retry", Error: fmt.Sprint("e", n+1)})
	}
	f, _ := r.FlowOf(number(0))
	d := f.Events[0].Deliveries[0]
	assert.Len(t, d.Attempts, 16)
	assert.Equal(t, 24, d.Left)
	assert.Equal(t, 1, d.Attempts[0].Number)
	assert.Equal(t, 40, d.Attempts[15].Number)
	assert.Contains(t, f.String(), "failed in attempt 40: e40   (1: e1; ")
	assert.Contains(t, f.String(), "39: e39; 24 more attempts)")
}

func TestARecorderServesSeveralAtOnce(t *testing.T) {
	r := &why.Recorder{Events: 50, Flows: 7}
	b := jitney.New(silent, jitney.WithRecorder(r))
	jitney.Subscribe(b, "billing", func(ctx context.Context, p placed) error { return b.Publish(ctx, charged{}) }, jitney.WithWorkers(4))
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			for i := range 100 {
				assert.NoError(t, b.Publish(jitney.ContextWithCorrelation(t.Context(), fmt.Sprint(p, i%10)), placed{Secret: fmt.Sprint(i)}))
			}
		})
		all.Go(func() {
			for range 100 {
				for _, c := range r.Correlations() {
					f, _ := r.Flow(c)
					_ = f.String() + f.Mermaid()
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, b.Shutdown(t.Context()))
	n := 0
	for _, c := range r.Correlations() {
		f, _ := r.Flow(c)
		n += len(f.Events)
	}
	assert.LessOrEqual(t, n, 50)
	assert.GreaterOrEqual(t, n+r.Forgotten(), 800)
}
