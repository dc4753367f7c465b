package flowmap_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/flowmap"
)

var update = flag.Bool("update", false, "write testdata down anew")

type (
	placed  struct{ Invoice string }
	charged struct{ Invoice string }
	refused struct{ Invoice string }
	noted   struct{}
	never   struct{}
)

// priceOf is a question.
type priceOf struct{ jitney.Returns[int] }

func (priceOf) EventType() string { return "pricing.price_of" }

func (placed) EventType() string  { return "orders.placed" }
func (charged) EventType() string { return "payments.charged" }
func (refused) EventType() string { return "payments.refused" }
func (noted) EventType() string   { return "audit.noted" }
func (never) EventType() string   { return "orders.never" }

func (charged) payment() {}
func (refused) payment() {}

type payment interface {
	jitney.Event
	payment()
}

var silent = jitney.WithLogger(slog.New(slog.DiscardHandler))

// shop is a bus on which a refused payment has its order placed again, once.
func shop(r *flowmap.Recorder) *jitney.Bus {
	b := jitney.New(silent, jitney.WithSource("shop"), jitney.WithRecorder(r))
	jitney.Subscribe(b, "billing", func(ctx context.Context, p placed) error {
		if p.Invoice == "again" {
			return b.Publish(ctx, charged(p))
		}
		return b.Publish(ctx, refused(p), noted{})
	})
	jitney.Subscribe(b, "dunning", func(ctx context.Context, e payment) error {
		if _, ok := e.(refused); ok {
			return b.Publish(ctx, placed{"again"})
		}
		return nil
	})
	jitney.Subscribe(b, "waiting", func(context.Context, never) error { return nil })
	return b
}

// golden compares text with the file.
func golden(t *testing.T, file string, text []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(text), "if the change is meant: go test ./flowmap -update")
}

func TestAMapIsTheSameForTheSameFlows(t *testing.T) {
	for range 5 {
		r := &flowmap.Recorder{}
		b := shop(r)
		for range 3 {
			require.NoError(t, b.Publish(t.Context(), placed{"1"}))
		}
		require.NoError(t, b.Flush(t.Context()))
		m := r.Map(b)
		golden(t, "map.json", m.JSON())
		golden(t, "map.mmd", []byte(m.Mermaid()))
		wellFormed(t, m.Mermaid())
		var back flowmap.Map
		require.NoError(t, json.Unmarshal(m.JSON(), &back))
		assert.Equal(t, m, back)
		require.NoError(t, b.Shutdown(t.Context()))
	}
}

func TestTheMapOfNothingHasListsAllTheSame(t *testing.T) {
	m := (&flowmap.Recorder{}).Map(jitney.New(silent))
	assert.JSONEq(t, `{"outside": [], "subscribers": [], "unheard": [], "cycles": []}`, string(m.JSON()))
	assert.Equal(t, "flowchart LR\n", m.Mermaid())
}

// told is a recorder that has been told of ways: because subscriber publishes.
func told(ways ...string) *flowmap.Recorder {
	r := &flowmap.Recorder{}
	for _, w := range ways {
		f := strings.Fields(w)
		cause := &jitney.Delivery{Envelope: &jitney.Envelope{Type: f[0]}, Subscriber: f[1]}
		r.Published(&jitney.Envelope{Type: f[2]}, cause, nil)
	}
	return r
}

func TestCyclesAreFound(t *testing.T) {
	for _, c := range []struct {
		ways   []string
		cycles [][]string
	}{
		{[]string{"a x b", "b x c"}, [][]string{}},
		{[]string{"a x a"}, [][]string{{"a", "x", "a"}}},
		{[]string{"c x b", "b y a", "a z c"}, [][]string{{"a", "z", "c", "x", "b", "y", "a"}}},
		{[]string{"a x b", "b x a", "a x c", "c y d", "d y c", "c y c"}, [][]string{{"a", "x", "b", "x", "a"}, {"c", "y", "c"}}},
		{[]string{"a x b", "b x c", "c x a", "c x b"}, [][]string{{"a", "x", "b", "x", "c", "x", "a"}}},
		{[]string{"0 x a", "a x b", "b y a", "b x c"}, [][]string{{"a", "x", "b", "y", "a"}}},
		// one subscriber hears b and publishes a, but never because of it
		{[]string{"a x b", "c y a"}, [][]string{}},
	} {
		assert.Equal(t, c.cycles, told(c.ways...).Map(jitney.New(silent)).Cycles, c.ways)
	}
}

// A question goes from who asks to who answers.
func TestQuestionsAreOnTheMap(t *testing.T) {
	r := &flowmap.Recorder{}
	b := shop(r)
	jitney.Answer(b, "pricing", func(ctx context.Context, _ priceOf) (int, error) { return 1, b.Publish(ctx, noted{}) })
	jitney.Subscribe(b, "accounts", func(ctx context.Context, _ charged) error {
		_, err := jitney.Ask(ctx, b, priceOf{})
		return err
	})
	require.NoError(t, b.Publish(t.Context(), placed{"1"}))
	require.NoError(t, b.Flush(t.Context()))
	_, err := jitney.Ask(t.Context(), b, priceOf{})
	require.NoError(t, err)
	m := r.Map(b)
	golden(t, "question.json", m.JSON())
	golden(t, "question.mmd", []byte(m.Mermaid()))
	wellFormed(t, m.Mermaid())
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestWhoHasGoneIsOnTheMapWithoutWhatItTook(t *testing.T) {
	r := &flowmap.Recorder{}
	b := shop(r)
	require.NoError(t, b.Publish(t.Context(), placed{"again"}))
	require.NoError(t, b.Flush(t.Context()))
	require.NoError(t, b.Subscriptions()[0].Close(t.Context()))
	m := r.Map(b)
	assert.Equal(t, flowmap.Subscriber{Name: "billing", On: []flowmap.On{{Type: "orders.placed", Publishes: []string{"payments.charged"}}}}, m.Subscribers[0])
	require.NoError(t, b.Shutdown(t.Context()))
}

// What another process has published is known from its deliveries.
func TestADeliveryTellsWhoHears(t *testing.T) {
	r := &flowmap.Recorder{}
	env := &jitney.Envelope{ID: uuid.New(), Type: "far.away"}
	r.Attempted(jitney.Attempted{Delivery: jitney.Delivery{Envelope: env, Subscriber: "here"}})
	m := r.Map(jitney.New(silent))
	assert.Empty(t, m.Outside)
	assert.Equal(t, "here", m.Subscribers[0].Name)
	assert.Equal(t, "far.away", m.Subscribers[0].On[0].Type)
}

var statement = regexp.MustCompile(`^  (?:([pts]\d+)(\(\(".+"\)\)|\(\[".+"\]\)|\[".+"\])|(\w+) --> (\w+)|classDef \w+ [#\w:,\- ]+|class [\w,]+ \w+)$`)

// wellFormed holds a flowchart to what Mermaid needs: each line one statement, each ID made once and before it is used,
// no arrow twice, and nothing within quotes that could end them or mean something.
func wellFormed(t *testing.T, chart string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(chart, "\n"), "\n")
	require.Equal(t, "flowchart LR", lines[0])
	seen := make(map[string]bool)
	for _, l := range lines[1:] {
		m := statement.FindStringSubmatch(l)
		require.NotNil(t, m, "no statement: %s", l)
		switch {
		case m[1] != "":
			assert.False(t, seen[m[1]], "made twice: %s", l)
			seen[m[1]] = true
			text := strings.Trim(m[2], `()[]`)
			assert.NotRegexp(t, "[\"`<>\\[\\]{}|\\\\*_&;]", regexp.MustCompile(`#\d+;`).ReplaceAllString(text[1:len(text)-1], ""), l)
		case m[3] != "":
			assert.True(t, seen[m[3]] && seen[m[4]], "not made yet: %s", l)
			assert.False(t, seen[l], "drawn twice: %s", l)
			seen[l] = true
		}
	}
}

func TestNamesAreHarmlessInAChart(t *testing.T) {
	for _, s := range []string{`a"]`, "`**x**`", "<script>", "#35;", "end", "a|b", "x]-->y", "_a_", "ü"} {
		wellFormed(t, told(s+" "+s+" "+s).Map(jitney.New(silent)).Mermaid())
	}
}

func TestARecorderServesSeveralAtOnce(t *testing.T) {
	r := &flowmap.Recorder{}
	b := shop(r)
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			for i := range 100 {
				assert.NoError(t, b.Publish(t.Context(), placed{fmt.Sprint(p, i)}))
				_ = r.Map(b)
			}
		})
	}
	all.Wait()
	require.NoError(t, b.Flush(t.Context()))
	golden(t, "map.json", r.Map(b).JSON())
	require.NoError(t, b.Shutdown(t.Context()))
}
