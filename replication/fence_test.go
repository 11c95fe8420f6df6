package replication

import (
	"context"
	"errors"
	"testing"

	"github.com/leatlog/leat/internal/base"
)

func TestFencedEpochIsRefused(t *testing.T) {
	c := newDataCluster(t, 3, nil)
	if err := c.lead(func(ctx context.Context, s *DataShard) error { return s.CreatePartition(ctx, 1) }); err != nil {
		t.Fatal(err)
	}
	s := c.dataLeader().data
	add := func(epoch int32) error {
		p, err := s.Append(AppendCommand{Partition: 1, Epoch: base.LeaderEpoch(epoch), NowMillis: 1, Batch: batchOf(t, -1, 0, "v")})
		if err != nil {
			return err
		}
		_, err = p.Wait(t.Context())
		return err
	}
	if err := add(5); err != nil {
		t.Fatal(err)
	}
	if err := s.Fence(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if err := s.Fence(t.Context(), 6); err != nil { // does not lower it
		t.Fatal(err)
	}
	if err := add(6); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("an append of a fenced epoch: %v", err)
	}
	if err := add(7); err != nil {
		t.Fatal(err)
	}
	p, err := s.node.cfg.Store.Replicated(1)
	if err != nil {
		t.Fatal(err)
	}
	if hw := p.HighWatermark(); hw != 2 {
		t.Fatalf("%d records, want 2", hw)
	}
}
