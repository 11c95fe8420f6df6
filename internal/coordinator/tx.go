package coordinator

import "time"

// tx is one round of a partition: the records that its requests decided on, and
// the state as it is with them. What a request decides the next one sees; nobody
// is answered before the records are durable, and if they cannot be made so the
// state is thrown away and read anew. A request that is refused has emitted
// nothing.
type tx struct {
	*state
	partition *partition
	opts      *Options
	now       time.Time
	records   []KV
	bytes     int
	// answers are given once the records are durable.
	answers []func()
}

// recordOverheadBytes is about what a record takes in a batch besides its key
// and value.
const recordOverheadBytes = 16

func (kv KV) bytes() int { return len(kv.Key) + len(kv.Value) + recordOverheadBytes }

// emit adds a record to the round and applies it.
func (t *tx) emit(r record) {
	kv := r.kv()
	t.records = append(t.records, kv)
	t.bytes += kv.bytes()
	r.apply(t.state)
}

func (t *tx) nowMs() int64 { return t.now.UnixMilli() }
