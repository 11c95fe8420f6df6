package leat

import (
	"time"

	"github.com/leatlog/leat/internal/store"
)

// partitionAppend is a sealed batch on its way into a partition. Its Partition is
// filled in by the appender, where the batch is stored on this node.
type partitionAppend struct {
	store.Append
	to *Partition
	// timeout bounds an attempt where it takes other nodes; 0 leaves it to the appender.
	timeout time.Duration
}

// appender stores batches of several partitions; see store.Store.Append for what
// it promises of order, hooks and errors.
type appender interface {
	Append(appends []*partitionAppend, hooks store.AppendHooks) error
}

// localAppender stores batches on this node, and nowhere else.
type localAppender struct{ store *store.Store }

var _ appender = localAppender{}

// Append implements appender.
func (a localAppender) Append(appends []*partitionAppend, hooks store.AppendHooks) error {
	list := make([]*store.Append, 0, len(appends))
	for _, pa := range appends {
		var err error
		if pa.Partition, err = pa.to.local(); err != nil {
			pa.Err = err
			continue
		}
		list = append(list, &pa.Append)
	}
	return a.store.Append(list, hooks)
}
