package leat

import (
	"context"
	"runtime/pprof"
)

// The labels of the library's goroutines in profiles and goroutine dumps.
const (
	logLabel  = "leat.log"  // Config.Dir
	roleLabel = "leat.role" // a name of roleNames
)

// role is what a goroutine of the library is there for.
type role int

const (
	roleAppend     role = iota // stores what producers collected
	roleCallback               // runs produce callbacks
	roleLinger                 // waits for linger.ms
	roleRetention              // removes old records
	roleCompaction             // compacts by key
	roleMember                 // sends a group member's heartbeats and commits
	roles
)

// roleNames is indexed by role.
var roleNames = [roles]string{"append", "callback", "linger", "retention", "compaction", "member"}

// labels holds, by role, contexts that do nothing but carry a goroutine's labels.
// They are made once, so that to label a goroutine costs no allocation.
type labels [roles]context.Context

func newLabels(dir string) (out labels) {
	for r := range out {
		out[r] = pprof.WithLabels(context.Background(), pprof.Labels(logLabel, dir, roleLabel, roleNames[r]))
	}
	return out
}

// label labels the calling goroutine, which must be the library's own: it would
// else lose the labels that it has. A new goroutine has those of whoever started
// it, a program's mostly.
func (l *Log) label(r role) { pprof.SetGoroutineLabels(l.labels[r]) }
