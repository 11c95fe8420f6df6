package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// ShardHash is View.Hash of a shard as of now, and the applied index that it is of.
func (s *Store) ShardHash(id base.ShardID, compacted func(base.PartitionID) bool) (sum [sha256.Size]byte, applied base.RaftIndex, err error) {
	v, err := s.View(id)
	if err != nil {
		return sum, 0, err
	}
	sum, err = v.Hash(compacted)
	if closed := v.Close(); err == nil {
		err = closed
	}
	return sum, v.Applied(), err
}

// Hash is a SHA-256 of what the partitions of a View hold: replicas at one applied
// index have the same. Every byte of every batch is part of it, where it begins
// and ends, its epoch, the idempotence state and the shard's settings.
//
// Each replica compacts by itself and at its own time. Of the partitions for which
// compacted returns true, only what that does not change is hashed: the last
// record of each key, tombstones and records without key left out. That takes
// memory for every key. A nil compacted stands for no partition.
func (v *View) Hash(compacted func(base.PartitionID) bool) (sum [sha256.Size]byte, err error) {
	if err := v.begin(); err != nil {
		return sum, err
	}
	defer v.s.endRead()
	defer v.s.caught("hashing a shard", &err)
	members, err := v.s.members(v.snapshot, v.sh.id)
	if err != nil {
		return sum, err
	}
	h := contentHash{sha256.New()}
	h.numbers(uint64(v.sh.id), uint64(len(members)))
	for _, id := range members {
		if err := v.hashPartition(h, id, compacted != nil && compacted(id)); err != nil {
			return sum, err
		}
	}
	err = v.settings(func(name, value []byte) error {
		h.bytes(name)
		h.bytes(value)
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil)), err
}

// contentHash adds values of which each says where it ends.
type contentHash struct{ hash.Hash }

func (h contentHash) numbers(n ...uint64) {
	var b [8]byte
	for _, x := range n {
		binary.BigEndian.PutUint64(b[:], x)
		_, _ = h.Write(b[:]) // a hash returns no error
	}
}

func (h contentHash) bytes(b []byte) {
	h.numbers(uint64(len(b)))
	_, _ = h.Write(b)
}

func (v *View) hashPartition(h contentHash, id base.PartitionID, compacted bool) error {
	p, err := v.partition(id)
	if err != nil {
		return err
	}
	st := &p.app.partitionState
	h.numbers(uint64(id), uint64(st.logStart), uint64(st.next), uint64(st.maxTimestamp), uint64(st.epoch),
		uint64(st.appendedAt), st.recordsTotal)
	producers := &p.app.producers
	// When those that expired were forgotten is each replica's own affair.
	producers.expire(st.appendedAt - replicatedProducerExpiration.Milliseconds())
	h.bytes(producers.encode(st.next))
	if compacted {
		return v.hashLatest(h, p)
	}
	return v.eachBatch(p, func(j *batchJoin, b []byte) error {
		h.numbers(uint64(j.at), uint64(j.entry.position), uint64(j.entry.epoch))
		h.bytes(b[batchStampedBytes:])
		return nil
	})
}

// batchStampedBytes is up to where a batch has what readers stamp: base offset,
// length and leader epoch.
const batchStampedBytes = 16

func (v *View) eachBatch(p *Partition, fn func(j *batchJoin, b []byte) error) error {
	j, err := p.join(v.snapshot, p.HighWatermark())
	if err != nil {
		return err
	}
	for ok := j.seek(0); ok && err == nil; ok = j.next() {
		var b []byte
		if b, _, err = j.bytes(); err == nil {
			err = fn(j, b)
		}
	}
	return cmp.Or(err, j.err, j.close())
}

// hashLatest hashes the last record of each key.
func (v *View) hashLatest(h contentHash, p *Partition) error {
	type latest struct {
		at  base.Offset
		sum [sha256.Size]byte
	}
	last := make(map[keyHash]latest)
	unpack := recordbatch.NewDecompressor(0)
	var it recordbatch.Iterator
	var scratch []byte
	err := v.eachBatch(p, func(j *batchJoin, b []byte) error {
		scratch = append(scratch[:0], b...)
		j.stamp(scratch)
		if err := it.Reset(scratch, unpack); err != nil {
			return p.readError(j.at, err)
		}
		if it.Header().IsControl() {
			return nil
		}
		for it.Next() {
			r := it.Record()
			switch {
			case r.Key == nil || r.Offset < p.LogStart():
			case r.Value == nil:
				delete(last, hashKey(r.Key))
			default:
				x := contentHash{sha256.New()}
				x.numbers(uint64(r.Offset), uint64(r.Timestamp))
				x.bytes(r.Key)
				x.bytes(r.Value)
				last[hashKey(r.Key)] = latest{r.Offset, [sha256.Size]byte(x.Sum(nil))}
			}
		}
		if err := it.Err(); err != nil {
			return p.readError(j.at, err)
		}
		return nil
	})
	for _, x := range slices.SortedFunc(maps.Values(last), func(a, b latest) int { return cmp.Compare(a.at, b.at) }) {
		h.bytes(x.sum[:])
	}
	return err
}
