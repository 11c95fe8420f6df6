package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/leatlog/leat"
)

// ledger compares the records that are consumed with the files they came from.
// It may be used by several goroutines.
type ledger struct {
	mu    sync.Mutex
	files map[string]*account
	seen  map[int32][]bool      // by partition and offset
	marks map[int]chan struct{} // closed when consumed gets there

	consumed   int // different records
	duplicated int // records that came once more
	misordered int // records that are not the next line of their file
	words      map[string]int
}

// account is how far a file has come.
type account struct {
	source *sourceFile
	next   int         // index of the line that is expected
	last   leat.Offset // of the record before
}

func newLedger(files []sourceFile) *ledger {
	l := &ledger{
		files: make(map[string]*account),
		seen:  make(map[int32][]bool),
		marks: make(map[int]chan struct{}),
		words: make(map[string]int),
	}
	for i := range files {
		l.files[files[i].name] = &account{source: &files[i], last: -1}
	}
	return l
}

// enter takes a record into account. The words of its line are counted only the
// first time that it comes.
func (l *ledger) enter(r *leat.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.seen[r.Partition]
	if at := int(r.Offset); at >= len(seen) {
		seen = append(seen, make([]bool, at+1-len(seen))...)
		l.seen[r.Partition] = seen
	}
	if seen[r.Offset] {
		l.duplicated++
		return
	}
	seen[r.Offset] = true
	l.consumed++
	if mark := l.marks[l.consumed]; mark != nil {
		close(mark)
	}

	a := l.files[string(r.Key)]
	if a == nil {
		l.misordered++ // of no file of ours
		return
	}
	if r.Offset <= a.last || a.next >= len(a.source.lines) || !bytes.Equal(a.source.lines[a.next], r.Value) {
		l.misordered++
	}
	a.next++
	a.last = r.Offset
	for word := range bytes.FieldsFuncSeq(r.Value, outsideWord) {
		l.words[string(word)]++
	}
}

// outsideWord reports whether a character ends a word.
func outsideWord(c rune) bool { return c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c) }

// reached returns a channel that is closed when n different records have come. It
// is called before the first record comes, once for each n above 0.
func (l *ledger) reached(n int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks[n] = make(chan struct{})
	return l.marks[n]
}

// count returns how many different records have come.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.consumed
}

// commonest returns the n words that came most often.
func (l *ledger) commonest(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	words := slices.SortedFunc(maps.Keys(l.words), func(a, b string) int {
		if d := l.words[b] - l.words[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return words[:min(n, len(words))]
}
