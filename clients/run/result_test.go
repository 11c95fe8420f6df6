package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTranscript(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		output string
		ended  error
		want   string // scenario=outcome of each result
	}{
		"all reported":      {"@ version 1\n@ start a\n@ ok a 5 note\n@ na b no such thing\n", nil, "a=ok b=n/a"},
		"one failed":        {"@ ok a 5\n@ fail b 7 because\n", errors.New("status 1"), "a=ok b=FAIL"},
		"one skipped":       {"@ ok a 5\n", nil, "a=ok b=FAIL"},
		"killed":            {"@ ok a 5\n@ start b\n", errors.New("killed"), "a=ok b=FAIL"},
		"one twice":         {"@ ok a 5\n@ ok a 5\n@ ok b 5\n", nil, "a=FAIL b=ok"},
		"status for naught": {"@ ok a 5\n@ ok b 5\n", errors.New("status 1"), "a=ok b=ok -=FAIL"},
		"n/a for naught":    {"@ ok a 5\n@ na b\n", nil, "a=ok b=n/a -=FAIL"},
		"not a time":        {"@ ok a 5\n@ ok b soon\n", nil, "a=ok b=FAIL -=FAIL"},
		"not a report":      {"@ ok a 5\n@ okay b 5\n", nil, "a=ok b=FAIL -=FAIL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &transcript{client: "c"}
			for line := range strings.Lines(test.output) {
				if !s.line(strings.TrimSuffix(line, "\n")) {
					t.Errorf("%q is a report", line)
				}
			}
			var got []string
			for _, r := range s.finish([]string{"a", "b"}, test.ended) {
				got = append(got, r.scenario+"="+string(r.outcome))
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("got %s, want %s", text, test.want)
			}
		})
	}
}

func TestTranscriptReadsValues(t *testing.T) {
	t.Parallel()
	s := &transcript{client: "c"}
	for _, line := range []string{"@ version v1.2.3", "@ progress 250", "@ ok a 1500 all of it"} {
		s.line(line)
	}
	if s.line("@@ not a report") || s.line("nor this") {
		t.Error("took for a report what is none")
	}
	want := result{client: "c", version: "v1.2.3", scenario: "a", outcome: held, took: 1500 * time.Millisecond, note: "all of it"}
	if got := s.finish([]string{"a"}, nil); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if s.progress != 250 {
		t.Errorf("progress %d, want 250", s.progress)
	}
}

func TestTableCountsFailures(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	n, err := writeTable(&out, []result{{scenario: "a", outcome: held}, {scenario: "b", outcome: failed, note: "why"}, {scenario: "c", outcome: absent}})
	if err != nil || n != 1 {
		t.Errorf("%d failures and error %v, want 1 and none", n, err)
	}
	if !strings.Contains(out.String(), "why") {
		t.Errorf("the table does not say why:\n%s", out.String())
	}
}

func TestChooseRefusesWhatIsUnknown(t *testing.T) {
	t.Parallel()
	if _, err := choose(options{only: []string{"no-such-client"}}); err == nil {
		t.Error("an unknown client was taken")
	}
	if _, err := choose(options{scenarios: []string{"no-such-scenario"}}); err == nil {
		t.Error("an unknown scenario was taken")
	}
	got, err := choose(options{only: []string{"sarama"}, scenarios: []string{"gzip"}})
	if err != nil || len(got) != 1 || len(got[0].scenarios) != 1 || got[0].failover {
		t.Errorf("got %+v and error %v", got, err)
	}
}
