package main

import "github.com/leatlog/leat"

// ledger compares the records that are consumed with the files they came from.
type ledger struct {
	files map[string]*account
	total int
	found Consumed
}

// account is what has come of a file.
type account struct {
	lines [][]byte
	seen  []bool // by line
	next  int    // the line that is expected
}

func newLedger(files []sourceFile) *ledger {
	l := &ledger{files: make(map[string]*account)}
	for _, f := range files {
		l.files[f.name] = &account{lines: f.lines, seen: make([]bool, len(f.lines))}
		l.total += len(f.lines)
	}
	return l
}

// enter takes a record into account.
func (l *ledger) enter(r *leat.Record) {
	a := l.files[string(r.Key)]
	n := lineNumber(r)
	switch {
	case a == nil || n < 0 || n >= len(a.lines) || string(r.Value) != string(a.lines[n]):
		l.found.Misordered++ // it is of no file of ours
	case a.seen[n]:
		l.found.Duplicated++
	default:
		if n != a.next {
			l.found.Misordered++
		}
		a.seen[n] = true
		a.next = n + 1
		l.found.Records++
	}
}

// complete reports whether every line has come.
func (l *ledger) complete() bool { return l.found.Records == l.total }

// result returns what was found. Lines that have not come count as lost.
func (l *ledger) result() Consumed {
	c := l.found
	c.Lost = l.total - c.Records
	return c
}
