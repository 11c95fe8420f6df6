package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// dataMachine applies the commands of a shard to its partitions in the store. It
// decides nothing: what a command comes to depends on the commands before it
// alone.
//
// dragonboat panics on errors, so one fails the node instead, as in logDB.
type dataMachine struct {
	store  *store.Store
	shard  base.ShardID
	opened base.RaftIndex // the applied index when it was started
	fault  *fault
	logger *slog.Logger
	// fence is the lowest leader epoch of which an append is taken, kept as
	// fenceSetting. It belongs to the goroutine that applies.
	fence base.LeaderEpoch
	// partitions is told that there are others, or fewer; it may be nil.
	partitions func(base.ShardID)
}

// fenceSetting is the shard's setting that holds the fence, as u32.
const fenceSetting = "leader-epoch-fence"

func (m *dataMachine) loadFence() error {
	v, ok, err := m.store.ShardSetting(m.shard, fenceSetting)
	m.fence = 0
	if err != nil || !ok {
		return err
	}
	d := decoder{buf: v}
	m.fence = base.LeaderEpoch(d.uint32())
	return d.finish()
}

var _ statemachine.IOnDiskStateMachine = (*dataMachine)(nil)

// Open returns the index up to which the partitions are.
func (m *dataMachine) Open(<-chan struct{}) (uint64, error) {
	applied, err := m.store.AppliedIndex(m.shard)
	if err != nil {
		m.fail("open", err)
		return uint64(m.opened), nil
	}
	if err := m.loadFence(); err != nil {
		m.fail("open", err)
		return uint64(m.opened), nil
	}
	return uint64(applied), nil
}

// fail fails the node and waits for its end.
func (m *dataMachine) fail(what string, err error) {
	m.fault.fail(fmt.Errorf("shard %d: %s: %w", m.shard, what, err))
	m.fault.wait()
}

// Update applies entries, all in one batch of the store.
func (m *dataMachine) Update(entries []statemachine.Entry) ([]statemachine.Entry, error) {
	if m.fault.err() != nil { // they may never have been written
		m.fault.wait()
		return entries, nil
	}
	if err := m.apply(entries); err != nil {
		m.fail("apply", err)
	}
	return entries, nil
}

func (m *dataMachine) apply(entries []statemachine.Entry) error {
	a, err := m.store.BeginApply(m.shard)
	if err != nil {
		return err
	}
	changed := false
	for i := range entries {
		e := &entries[i]
		var kind commandKind
		if e.Result, kind, err = m.applyOne(a, e); err != nil {
			err = fmt.Errorf("entry %d: %w", e.Index, err)
			return errors.Join(err, a.Discard())
		}
		changed = changed || kind == kindCreatePartition || kind == kindDropPartition
	}
	if err := a.Commit(base.RaftIndex(entries[len(entries)-1].Index)); err != nil {
		return err
	}
	if changed {
		m.partitionsChanged()
	}
	return nil
}

func (m *dataMachine) partitionsChanged() {
	if m.partitions != nil {
		m.partitions(m.shard)
	}
}

// applyOne returns the result of a command and its kind, or an error that is no result.
func (m *dataMachine) applyOne(a *store.Apply, e *statemachine.Entry) (statemachine.Result, commandKind, error) {
	c, err := decodeCommand(e.Cmd)
	if errors.Is(err, ErrUnknownCommand) {
		return statemachine.Result{}, c.kind, err
	}
	var at base.Offset
	var duplicate bool
	if err == nil {
		switch c.kind {
		case kindAppend:
			at, duplicate, err = m.append(a, &c, base.RaftIndex(e.Index))
		case kindCreatePartition:
			err = a.CreatePartition(c.partition)
		case kindDropPartition:
			err = a.DropPartition(c.partition)
		case kindTrim:
			at, err = a.Trim(c.partition, c.offset)
		case kindFence:
			if c.epoch > m.fence {
				m.fence = c.epoch
				err = a.Set(fenceSetting, binary.BigEndian.AppendUint32(nil, uint32(c.epoch)))
			}
		}
	}
	r, ok := encodeResult(at, duplicate, err)
	if !ok {
		return r, c.kind, err
	}
	return r, c.kind, nil
}

func (m *dataMachine) append(a *store.Apply, c *command, index base.RaftIndex) (base.Offset, bool, error) {
	if c.epoch < m.fence {
		return a.Append(store.AppendCommand{Partition: c.partition, Position: index, Refuse: errFenced})
	}
	h, err := recordbatch.ParseHeader(c.batch)
	if err == nil && h.Size() != len(c.batch) {
		err = fmt.Errorf("a batch of %d bytes in %d", h.Size(), len(c.batch))
	}
	if err != nil { // the same on every replica
		err = fmt.Errorf("%w: %w", recordbatch.ErrInvalidRecord, err)
		return a.Append(store.AppendCommand{Partition: c.partition, Position: index, Refuse: err})
	}
	return a.Append(store.AppendCommand{
		Partition: c.partition,
		Position:  index,
		Batch:     c.batch,
		Header:    h,
		Epoch:     c.epoch,
		NowMillis: c.nowMillis,
	})
}

// Lookup has nothing to say: the store is read directly.
func (m *dataMachine) Lookup(any) (any, error) { return nil, nil }

// Sync makes durable what was applied.
func (m *dataMachine) Sync() error {
	if m.fault.err() == nil {
		if err := m.store.SyncApplied(); err != nil {
			m.fail("sync", err)
		}
	}
	return nil
}

// PrepareSnapshot pins the partitions as they are; SaveSnapshot lets them go.
func (m *dataMachine) PrepareSnapshot() (any, error) {
	v, err := m.store.View(m.shard)
	if err != nil {
		m.fail("view for a Raft snapshot", err)
		return (*store.View)(nil), nil
	}
	return v, nil
}

// SaveSnapshot writes all partitions.
func (m *dataMachine) SaveSnapshot(prepared any, w io.Writer, stop <-chan struct{}) (err error) {
	v, _ := prepared.(*store.View)
	if v == nil {
		return statemachine.ErrSnapshotStopped
	}
	defer func() {
		if cerr := v.Close(); cerr != nil && err == nil {
			m.logger.Warn("closing the view of a Raft snapshot failed", "shard", m.shard, "err", cerr)
		}
	}()
	err = v.ExportShard(w, nil, stop)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, statemachine.ErrSnapshotStreaming), errors.Is(err, statemachine.ErrSnapshotStopped):
		return statemachine.ErrSnapshotStreaming // the receiver went away
	case errors.Is(err, store.ErrStopped), errors.Is(err, store.ErrClosed):
		return statemachine.ErrSnapshotStopped
	}
	// The receiver asks again, and may ask another.
	m.logger.Error("sending a Raft snapshot failed", "shard", m.shard, "err", err)
	return statemachine.ErrSnapshotAborted
}

// RecoverFromSnapshot replaces all partitions.
func (m *dataMachine) RecoverFromSnapshot(r io.Reader, stop <-chan struct{}) error {
	if m.fault.err() != nil {
		m.fault.wait()
		return statemachine.ErrSnapshotStopped
	}
	_, err := m.store.ImportShard(m.shard, r, nil, stop)
	if err == nil {
		err = m.loadFence()
	}
	if err == nil {
		m.partitionsChanged()
		return nil
	}
	if !errors.Is(err, store.ErrStopped) {
		m.fail("import a Raft snapshot", err)
	}
	return statemachine.ErrSnapshotStopped
}

// Close leaves the store open.
func (m *dataMachine) Close() error { return nil }
