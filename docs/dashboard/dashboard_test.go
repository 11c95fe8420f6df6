package dashboard

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// file is the part of the dashboard that is checked.
type file struct {
	UID        string `json:"uid"`
	Panels     []panel
	Templating struct {
		List []variable
	}
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  source
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []target
}

type target struct {
	RefID      string `json:"refId"`
	Datasource source
	Expr       string
}

type source struct{ Type, UID string }

type variable struct {
	Name, Type string
	Definition string
	Query      any
	AllValue   string
}

func load(t testing.TB) file {
	t.Helper()
	b, err := os.ReadFile("leat.json")
	require.NoError(t, err)
	var f file
	require.NoError(t, json.Unmarshal(b, &f))
	require.Equal(t, "leat", f.UID)
	require.NotEmpty(t, f.Panels)
	return f
}

// metricName matches what an expression, without its strings and labels, says of
// metrics.
var metricName = regexp.MustCompile(`\b(?:leat|go|process)_[a-z0-9_]+\b`)

// names returns the metrics of an expression.
func names(expr string) []string {
	found := metricName.FindAllString(expr, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// runtimeMetrics are those of the Go and process collectors that the dashboard has.
var runtimeMetrics = []string{"go_goroutines", "process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes"}

// documented returns what docs/metrics.md lists, as a scrape names it. leatprom checks
// the list against what it exports.
func documented(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("../metrics.md")
	require.NoError(t, err)
	all := slices.Clone(runtimeMetrics)
	for _, row := range regexp.MustCompile("(?m)^\\| `(leat_[a-z0-9_]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(string(b), -1) {
		if row[2] == "histogram" {
			all = append(all, row[1]+"_bucket", row[1]+"_sum", row[1]+"_count")
			continue
		}
		all = append(all, row[1])
	}
	require.Greater(t, len(all), len(runtimeMetrics))
	return all
}

// alerts returns the expressions that README.md has to be woken by.
func alerts(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var all []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]*leat_[^`]*)` \\|").FindAllStringSubmatch(string(b), -1) {
		all = append(all, row[1])
	}
	require.NotEmpty(t, all)
	return all
}

// TestNames wants every metric of every query to be one that leatprom exports, and no
// query without one.
func TestNames(t *testing.T) {
	known, f := documented(t), load(t)
	for _, p := range f.Panels {
		for _, q := range p.Targets {
			require.NotEmpty(t, names(q.Expr), "panel %q", p.Title)
			for _, n := range names(q.Expr) {
				require.True(t, slices.Contains(known, n), "panel %q: nobody exports %s", p.Title, n)
			}
		}
	}
	for _, v := range f.Templating.List {
		for _, n := range names(v.Definition) {
			require.True(t, slices.Contains(known, n), "variable %q: nobody exports %s", v.Name, n)
		}
	}
	for _, alert := range alerts(t) {
		require.NotEmpty(t, names(alert))
		for _, n := range names(alert) {
			require.True(t, slices.Contains(known, n), "README.md: nobody exports %s", n)
		}
	}
}

// TestLayout wants panels that say what they show and do not cover each other.
func TestLayout(t *testing.T) {
	f := load(t)
	ids, occupied := make(map[int]bool), make(map[[2]int]string)
	variables := []string{"__rate_interval"}
	for _, v := range f.Templating.List {
		require.NotContains(t, variables, v.Name)
		variables = append(variables, v.Name)
	}
	for _, p := range f.Panels {
		require.False(t, ids[p.ID], "id %d of panel %q is taken", p.ID, p.Title)
		ids[p.ID] = true
		require.NotEmpty(t, p.Title)
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				other, taken := occupied[[2]int{x, y}]
				require.False(t, taken, "panels %q and %q", p.Title, other)
				occupied[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			require.Empty(t, p.Targets)
			continue
		}
		require.True(t, strings.HasSuffix(p.Description, "."), "panel %q says in a sentence what it shows", p.Title)
		require.NotEmpty(t, p.FieldConfig.Defaults.Unit, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		require.Equal(t, source{"prometheus", "${datasource}"}, p.Datasource, p.Title)
		refs := make(map[string]bool)
		for _, q := range p.Targets {
			require.False(t, refs[q.RefID], p.Title)
			refs[q.RefID] = true
			require.Equal(t, p.Datasource, q.Datasource, p.Title)
			for _, v := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
				require.Contains(t, variables, v[1], p.Title)
			}
		}
	}
}
