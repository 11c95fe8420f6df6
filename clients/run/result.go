package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// outcome of a scenario.
type outcome string

const (
	held   outcome = "ok"
	failed outcome = "FAIL"
	absent outcome = "n/a" // the client has no such feature
)

// result is a line of the table.
type result struct {
	target   string
	client   string
	version  string
	scenario string
	outcome  outcome
	took     time.Duration
	note     string
}

// transcript collects what one program reports.
type transcript struct {
	client   string
	version  string
	results  []result
	progress int // of failover
	wrong    []string
}

// line takes a line of the program's output and tells whether it was a report.
func (t *transcript) line(s string) bool {
	report, ok := strings.CutPrefix(s, "@ ")
	if !ok {
		return false
	}
	kind, rest, _ := strings.Cut(report, " ")
	var err error
	switch kind {
	case "version":
		t.version = strings.TrimSpace(rest)
	case "start":
	case "progress":
		t.progress, err = strconv.Atoi(strings.TrimSpace(rest))
	case "ok", "fail":
		err = t.timed(map[string]outcome{"ok": held, "fail": failed}[kind], rest)
	case "na":
		scenario, reason, _ := strings.Cut(rest, " ")
		if reason == "" {
			err = fmt.Errorf("without a reason")
		}
		t.results = append(t.results, result{scenario: scenario, outcome: absent, note: reason})
	default:
		err = fmt.Errorf("unknown")
	}
	if err != nil {
		t.wrong = append(t.wrong, fmt.Sprintf("report %q: %v", s, err))
	}
	return true
}

func (t *transcript) timed(o outcome, rest string) error {
	scenario, rest, _ := strings.Cut(rest, " ")
	millis, note, _ := strings.Cut(rest, " ")
	ms, err := strconv.ParseInt(millis, 10, 64)
	if err != nil {
		return err
	}
	t.results = append(t.results, result{scenario: scenario, outcome: o, took: time.Duration(ms) * time.Millisecond, note: note})
	return nil
}

// finish returns the results, one for each scenario that was asked for: what was not
// reported, or twice, has failed.
func (t *transcript) finish(asked []string, ended error) []result {
	var out []result
	for _, s := range asked {
		var found []result
		for _, r := range t.results {
			if r.scenario == s {
				found = append(found, r)
			}
		}
		r := result{scenario: s, outcome: failed}
		switch {
		case len(found) == 1:
			r = found[0]
		case len(found) > 1:
			r.note = "reported more than once"
		default:
			r.note = "not reported: " + cmp.Or(errorText(ended), strings.Join(t.wrong, "; "), "the program ended")
		}
		out = append(out, r)
	}
	failedOnes := slices.ContainsFunc(out, func(r result) bool { return r.outcome == failed })
	for _, text := range t.wrong {
		out = append(out, result{scenario: "-", outcome: failed, note: text})
	}
	if ended != nil && !failedOnes {
		out = append(out, result{scenario: "-", outcome: failed, note: ended.Error()})
	}
	for i := range out {
		out[i].client, out[i].version = t.client, t.version
	}
	return out
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// writeTable prints the results and tells how many failed.
func writeTable(w io.Writer, results []result) (failures int, err error) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "target\tclient\tversion\tscenario\tresult\ttime\tnote")
	for _, r := range results {
		if r.outcome == failed {
			failures++
		}
		took := "-"
		if r.outcome != absent {
			took = r.took.String()
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.target, r.client, r.version, r.scenario, r.outcome, took, r.note)
	}
	return failures, tw.Flush()
}
