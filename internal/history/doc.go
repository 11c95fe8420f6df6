// Package history records what concurrent clients of a log did and saw, and
// checks afterwards that no invariant was broken.
//
//	h := history.New(seed)
//	call := h.Begin("producer-1", history.Send{Partition: tp, Producer: "p1", Sequence: 0, Values: []string{"p1-0"}, Idempotent: true})
//	switch m, err := p.ProduceSync(ctx, r); {
//	case err == nil:
//		call.OK(history.Result{Offset: int64(m.Offset)})
//	case definite(err):
//		call.Failed(err)
//	default:
//		call.Unknown(err)
//	}
//	h.Replica(history.Replica{Name: "node1", Partition: tp, ...}) // at the end, of each
//	if err := h.Check().Err(); err != nil {
//		t.Fatal(err)
//	}
//
// An Op is one call of a client: an Action, when it began and ended, and its
// Outcome. A call whose client does not know what became of it, because a
// connection broke or time was up, has the outcome Unknown: it may have had its
// effect, may have it later, or never. Saying Failed of such a call is a mistake
// that the checks will report as one of the log.
//
// # What a workload has to do
//
// Every value is sent by one Send only, or by several that have the same Producer
// and Sequence: they are tries of one send. So a value that is read tells which
// send it came from. A topic that is deleted and made again gets another name in
// the history, see [Incarnation]. A client's calls of Read and Seek
// follow each other: it is one consumer.
//
// # What is checked
//
// The numbers are those of Invariants. Each check is sound: what it reports is
// wrong whatever happened that was not recorded. A check has nothing to say where
// nothing was recorded, so a test looks at Report's counts too.
//
// The appends of a partition, what was read from it and its end offset are
// checked for linearizability twice: by the order that the offsets give, which
// is fast and names the calls that disagree, and by the model checker porcupine.
//
// A History may be used from several goroutines at once.
package history
