package leat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatlog/leat/internal/store"
)

// PartitionInfos describes all partitions of the topic, in the order of their
// numbers. Unlike Partition.Info it keeps nothing in memory of partitions that
// were not used since the Log was opened, and so suits topics of many; it costs
// some microseconds a partition. Of a partition whose state is damaged only the
// name is told; the error names each such.
func (t *Topic) PartitionInfos(ctx context.Context) ([]PartitionInfo, error) {
	if err := t.log.begin(ctx); err != nil {
		return nil, err
	}
	defer t.log.end()
	if t.deleted.Load() {
		return nil, topicError(t.name, ErrTopicDeleted)
	}
	s := t.state.Load()
	infos := make([]PartitionInfo, len(s.partitions))
	var errs []error
	if t.log.cluster != nil {
		for i, p := range s.partitions {
			var err error
			if infos[i], err = p.info(); err != nil {
				infos[i].TopicPartition = p.name()
				errs = append(errs, err)
			}
		}
		return infos, errors.Join(errs...)
	}
	err := t.log.store.Peek(s.record.PartitionIDs, func(i int, k store.Peek, err error) {
		info := &infos[i]
		info.TopicPartition = s.partitions[i].name()
		if err != nil {
			errs = append(errs, s.partitions[i].mapError(err))
			return
		}
		info.LogStart, info.HighWatermark = k.LogStart, k.HighWatermark
		info.Records, info.Bytes = k.Records, k.Bytes
		if k.MaxTimestamp >= 0 {
			info.MaxTimestamp = time.UnixMilli(k.MaxTimestamp)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("topic %q: %w", t.name, t.log.mapError(err))
	}
	return infos, errors.Join(errs...)
}
