package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scrape runs the example until each kind of thing has been measured, and returns /metrics, and how many
// bytes of traces it has sent.
func scrape(t *testing.T) (metrics string, traces int64) {
	t.Helper()
	var received atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/v1/traces" {
			received.Add(n)
		}
	}))
	defer collector.Close()
	ctx, cancel := context.WithCancel(t.Context())
	at := make(chan net.Addr, 1)
	done := make(chan error, 1)
	go func() {
		c := config{listen: "localhost:0", otlp: collector.URL, rate: 500}
		done <- run(ctx, c, io.Discard, func(a net.Addr) { at <- a })
	}()
	address := (<-at).String()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		metrics = get(t, "http://"+address+"/metrics")
		for _, outcome := range []string{"handled", "skipped", "dead", "retry"} {
			assert.Regexp(c, `jitney_outcome="`+outcome+`"`, metrics)
		}
	}, 20*time.Second, 50*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	return metrics, received.Load()
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(body)
}

var metricName = regexp.MustCompile(`\bjitney_[a-z_]+`)

// labels are names beginning with jitney_ that are no metrics.
var labels = map[string]bool{"jitney_source": true, "jitney_subscriber": true, "jitney_event_type": true, "jitney_outcome": true}

// TestEachMetricThatIsNamedExists compares dashboard and rules with what the example exposes, both ways.
func TestEachMetricThatIsNamedExists(t *testing.T) {
	metrics, traces := scrape(t)
	assert.Positive(t, traces, "traces went to the receiver")
	for label := range labels {
		assert.Regexp(t, label+`="`, metrics)
	}
	kinds := make(map[string]string)
	for line := range strings.Lines(metrics) {
		if words := strings.Fields(line); len(words) == 4 && words[1] == "TYPE" && strings.HasPrefix(words[2], "jitney_") {
			kinds[words[2]] = words[3]
		}
	}
	shown := map[string]bool{"jitney_deliveries_accepted_total": true} // the dashboard's variables are made of it
	for _, file := range []string{"dashboard.json", "alerts.yml", "alerts_test.yml"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, name := range metricName.FindAllString(string(text), -1) {
			if labels[name] {
				continue
			}
			base := strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count")
			assert.True(t, kinds[name] != "" || kinds[base] == "histogram", "%s names %s", file, name)
			shown[base] = true
		}
	}
	for name := range kinds {
		assert.True(t, shown[name], "%s is exposed, and on no page", name)
	}
}

func TestDashboardIsGrafanas(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var d struct {
		UID        string
		Templating struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			ID         int
			Type       string
			Title      string
			Datasource struct{ UID string }
			Targets    []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &d))
	require.NotEmpty(t, d.Templating.List)
	assert.Equal(t, "datasource", d.Templating.List[0].Type)
	seen := make(map[int]bool)
	for _, p := range d.Panels {
		assert.False(t, seen[p.ID], "panel %d is there twice", p.ID)
		seen[p.ID] = true
		if p.Type != "row" {
			assert.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
			assert.NotEmpty(t, p.Targets, p.Title)
		}
	}
}

func TestAlertRulesPassPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not here; Debian's package prometheus has it")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

func TestBadFlagIsAnError(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), config{}, io.Discard, nil), "-rate 0")
}
