package leatprom_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/leatprom"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

const docsHead = `# Metrics

What package ` + "`leatprom`" + ` exports of a Log, from ` + "`Log.Metrics()`" + `, ` + "`Topic.PartitionInfos`" + ` and, with
` + "`WithGroupLag`" + `, ` + "`Log.GroupLag`" + `. Counters start at 0 when the Log is opened. What begins with
` + "`leat_cluster_`" + ` is there on a node of a cluster only. The list is checked by a test, and rewritten by
` + "`go test ./leatprom -update`" + `.

| metric | type | labels | what it tells |
|---|---|---|---|
`

// TestDocs compares docs/metrics.md with what a registry gathers.
func TestDocs(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	c := leatprom.NewCollector(newClusterLog(t), leatprom.WithGroupLag(10, nil))
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	descs := make(chan *prometheus.Desc, 1000)
	c.Describe(descs)
	require.Len(t, families, len(descs), "what is described is collected")

	var b strings.Builder
	b.WriteString(docsHead)
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Reverse(labels)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	const path = "../docs/metrics.md"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(got), "run go test ./leatprom -update")
}
