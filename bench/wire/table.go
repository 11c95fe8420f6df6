package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// goal is a row of the table: what leat is to reach, against another system or as it is.
type goal struct {
	workload    string
	bench, unit string
	against     string  // a system; empty: the bound is for leat's figure itself
	bound       float64 // of leat's figure divided by the other's, or of leat's
	most        bool    // the bound is the most and not the least
}

func goals() []goal {
	stream := func(verb string, of size) string { return stream{size: of}.name(verb) }
	sync1, sync64 := waiting{clients: 1}.name(), waiting{clients: 64}.name()
	idle := idling{consumers: 1000, groups: 100}.name()
	rate := "records/s"
	return []goal{
		{"produce 1 KiB, acks=all, fsynced", stream("Produce", size1KiB), rate, "kfake-fsync", 0.95, false},
		{"the same", stream("Produce", size1KiB), rate, "kafka-flush", 1.2, false},
		{"the same", stream("Produce", size1KiB), rate, "kafka", 1.0, false},
		{"produce 100 B", stream("Produce", size100B), rate, "kfake", 0.9, false},
		{"the same", stream("Produce", size100B), rate, "kafka-flush", 1.2, false},
		{"the same", stream("Produce", size100B), rate, "kafka", 1.0, false},
		{"consume 1 KiB", stream("Consume", size1KiB), rate, "kfake", 1.0, false},
		{"the same", stream("Consume", size1KiB), rate, "kafka", 1.0, false},
		{"consume 100 B", stream("Consume", size100B), rate, "kfake", 1.0, false},
		{"the same", stream("Consume", size100B), rate, "kafka", 1.0, false},
		{"one sync client, 1 KiB, p50", sync1, "p50-us", "kafka-flush", 0.5, true},
		{"the same", sync1, "p50-us", "kafka", 1.0, true},
		{"64 sync clients, 1 KiB, acks/s", sync64, rate, "kafka-flush", 3, false},
		{"the same", sync64, rate, "kafka", 1.0, false},
		{"resident memory, idle", "KafkaMemory/load=none", "RSS-MiB", "kafka", 1.0 / 5, true},
		{"the same under load, 1 KiB", "KafkaMemory/load=1KiB", "RSS-MiB", "kafka", 1.0 / 3, true},
		{"the same under load, 100 B", "KafkaMemory/load=100B", "RSS-MiB", "kafka", 1.0 / 3, true},
		{"start to the first acknowledged record, new directory", "KafkaStart/dir=fresh", "ms", "kafka", 1.0 / 20, true},
		{"the same, existing directory", "KafkaStart/dir=existing", "ms", "kafka", 1.0 / 20, true},
		{"1,000 idle consumers in 100 groups: of a core", idle, "core-%", "", 10, true},
		{"the same: memory of each", idle, "KiB/consumer", "", 100, true},
	}
}

// table writes the goals for which there are figures, as Markdown.
func (r *results) table(out io.Writer) error {
	var t strings.Builder
	t.WriteString("| workload | unit | leat | peer | ratio | wanted | |\n|---|---|---:|---|---:|---:|---|\n")
	for _, g := range goals() {
		ours, least, most, ok := r.median(g.bench, "leat", g.unit)
		if !ok {
			continue
		}
		sign, measured, format := ">=", ours, "%.3g"
		if g.most {
			sign = "<="
		}
		peer, ratio := "", ""
		if g.against != "" {
			theirs, l, m, ok := r.median(g.bench, g.against, g.unit)
			if !ok {
				continue
			}
			measured, format = ours/theirs, "%.2f x"
			peer = fmt.Sprintf("%s %s (%s to %s)", g.against, figure(theirs), figure(l), figure(m))
			ratio = fmt.Sprintf("%.3g", measured)
		}
		verdict := "met"
		if g.most && measured > g.bound || !g.most && measured < g.bound {
			verdict = "**missed**"
		}
		fmt.Fprintf(&t, "| %s | %s | %s (%s to %s) | %s | %s | %s "+format+" | %s |\n",
			g.workload, g.unit, figure(ours), figure(least), figure(most), peer, ratio, sign, g.bound, verdict)
	}
	_, err := io.WriteString(out, t.String())
	return err
}

// figure writes a number with three digits that count.
func figure(v float64) string {
	switch {
	case v >= 999_500:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 9_995:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", math.Round(v))
	}
	return fmt.Sprintf("%.3g", v)
}
