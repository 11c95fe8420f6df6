package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requiredEnv makes the absence of Prometheus a failure instead of a skip.
const requiredEnv = "LEAT_CHECK_DASHBOARD"

// prometheusProgram returns where Prometheus is, or skips the test.
func prometheusProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	switch {
	case err == nil:
		return path
	case os.Getenv(requiredEnv) != "":
		t.Fatalf("make check-dashboard needs Prometheus, as in Debian's package prometheus: %v", err)
	}
	t.Skipf("the queries are checked where Prometheus is installed, as in Debian's package prometheus: %v", err)
	return ""
}

// scrapeInterval is short, so that rates come soon; the window of the rates is what
// Grafana's $__rate_interval would be at the least.
const (
	scrapeInterval = time.Second
	rateInterval   = 4 * scrapeInterval
)

// prometheus is a running Prometheus.
type prometheus struct {
	url    string
	client *http.Client
}

// startPrometheus scrapes targets, by job, until the test ends.
func startPrometheus(t *testing.T, program string, targets map[string][]string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	var config strings.Builder
	fmt.Fprintf(&config, "global:\n  scrape_interval: %s\n  scrape_timeout: %s\nscrape_configs:\n", scrapeInterval, scrapeInterval)
	for job, addrs := range targets {
		fmt.Fprintf(&config, "  - job_name: %s\n    static_configs:\n      - targets: [%s]\n", job, strings.Join(addrs, ", "))
	}
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(config.String()), 0o600))
	// Prometheus does not tell what port it was given for 0, so it gets one that was free.
	addr := freeAddr(t)
	startProcess(t, exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=warn"))
	p := &prometheus{url: "http://" + addr, client: &http.Client{Timeout: 10 * time.Second}}
	t.Cleanup(p.client.CloseIdleConnections)
	require.Eventually(t, func() bool {
		resp, err := p.client.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond, "Prometheus at %s", addr)
	return p
}

// ask calls Prometheus' API and decodes what it answers.
func (p *prometheus) ask(ctx context.Context, path string, form url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+form.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	var answer struct {
		Status, ErrorType, Error string
		Data                     json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: %w: %.200s", resp.Status, err, body)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.ErrorType, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// sample is an element of the answer to a query.
type sample struct {
	Metric map[string]string
	Value  [2]any // time, value
}

// query evaluates an expression now, and returns the samples that are numbers.
func (p *prometheus) query(ctx context.Context, expr string) ([]sample, error) {
	var data struct {
		ResultType string
		Result     []sample
	}
	if err := p.ask(ctx, "/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	if data.ResultType != "vector" {
		return nil, fmt.Errorf("the result is a %s", data.ResultType)
	}
	var numbers []sample
	for _, s := range data.Result {
		text, _ := s.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			numbers = append(numbers, s)
		}
	}
	return numbers, nil
}

// fill puts values in the place of the dashboard's variables, as Grafana does.
func fill(expr string, f *file) string {
	expr = strings.ReplaceAll(expr, "$__rate_interval", rateInterval.String())
	for _, v := range f.Templating.List {
		if v.Type == "query" {
			expr = strings.ReplaceAll(expr, "$"+v.Name, v.AllValue)
		}
	}
	return expr
}

// labelValues is what a variable of the dashboard asks for.
func labelValues(definition string) (selector, label string, ok bool) {
	inner, ok := strings.CutPrefix(strings.TrimSuffix(definition, ")"), "label_values(")
	at := strings.LastIndex(inner, ",")
	if !ok || at < 0 {
		return "", "", false
	}
	return strings.TrimSpace(inner[:at]), strings.TrimSpace(inner[at+1:]), true
}

// TestPrometheus lets a real Prometheus scrape nodes under load, and evaluates every
// query of the dashboard: each gives data.
func TestPrometheus(t *testing.T) {
	program := prometheusProgram(t)
	f := load(t)
	p := startPrometheus(t, program, startNodes(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	type query struct{ what, expr string }
	var open []query
	for _, panel := range f.Panels {
		for _, q := range panel.Targets {
			open = append(open, query{panel.Title + " " + q.RefID, fill(q.Expr, &f)})
		}
	}
	for _, alert := range alerts(t) {
		_, err := p.query(ctx, alert)
		require.NoError(t, err, alert) // that it has no data is good
	}
	// Rates need two scrapes, and histograms what happened between them.
	for len(open) > 0 {
		var empty []query
		for _, q := range open {
			got, err := p.query(ctx, q.expr)
			require.NoError(t, err, "panel %q: %s", q.what, q.expr)
			if len(got) == 0 {
				empty = append(empty, q)
			}
		}
		open = empty
		select {
		case <-ctx.Done():
			t.Fatalf("queries without data: %q", open)
		case <-time.After(scrapeInterval / 4):
		}
	}

	var scraped []string
	require.NoError(t, p.ask(ctx, "/api/v1/label/__name__/values", nil, &scraped))
	for _, panel := range f.Panels {
		for _, q := range panel.Targets {
			for _, n := range names(q.Expr) {
				require.Contains(t, scraped, n, "panel %q", panel.Title)
			}
		}
	}
	for _, v := range f.Templating.List {
		if v.Type != "query" {
			continue
		}
		selector, label, ok := labelValues(v.Definition)
		require.True(t, ok, v.Definition)
		var values []string
		require.NoError(t, p.ask(ctx, "/api/v1/label/"+label+"/values", url.Values{"match[]": {fill(selector, &f)}}, &values))
		require.NotEmpty(t, values, v.Definition)
	}
	var targets struct {
		ActiveTargets []struct{ ScrapeURL, LastError string }
	}
	require.NoError(t, p.ask(ctx, "/api/v1/targets", nil, &targets))
	for _, target := range targets.ActiveTargets {
		require.Empty(t, target.LastError, target.ScrapeURL)
	}
}

// startProcess starts a command that is ended with the test.
func startProcess(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var output strings.Builder // read when it has ended
	if cmd.Stderr == nil {
		cmd.Stderr = &output
	}
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		var err error
		select {
		case err = <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			err = errors.Join(errors.New("it did not end after SIGTERM"), <-ended)
		}
		if err != nil || t.Failed() {
			t.Logf("%s: %v\n%s", cmd.Path, err, output.String())
		}
		if err != nil {
			t.Fail()
		}
	})
}
