package leat

import (
	"context"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/kafka"
)

// kafkaReplica is where a standalone Log has a partition, as the listener sees it.
type kafkaReplica struct{ *store.Partition }

var _ kafka.Replica = kafkaReplica{}

func (r kafkaReplica) RecordForTime(ms int64) (at base.Offset, timestamp int64, found bool, err error) {
	at, t, err := offsetForTime(r.Partition, ms)
	if err != nil || t.IsZero() {
		return 0, 0, false, err
	}
	return at, t.UnixMilli(), true, nil
}

func (r kafkaReplica) Producers(context.Context) ([]kafka.ProducerState, error) {
	list, err := r.Partition.Producers()
	states := make([]kafka.ProducerState, len(list))
	for i, p := range list {
		states[i] = kafka.ProducerState(p)
	}
	return states, err
}
