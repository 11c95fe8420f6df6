package store

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/leatlog/leat/internal/base"
)

// ExportShard writes the partitions of a View to w, for ImportShard of another
// store: what readers see and what the next commands depend on, but nothing of the
// Raft log. Every batch's checksum is checked. progress, if not nil, is called with
// the bytes written so far; closing stop ends it with ErrStopped. A slow w delays
// nobody.
func (v *View) ExportShard(w io.Writer, progress func(bytes int64), stop <-chan struct{}) (err error) {
	if err := v.begin(); err != nil {
		return err
	}
	defer v.s.endRead()
	defer v.s.caught("exporting a shard", &err)
	f := &frameWriter{w: w, progress: progress, stop: stop}
	if err := f.begin(); err != nil {
		return err
	}
	buf := binary.AppendUvarint(newFrame(nil), uint64(v.sh.id))
	buf = binary.AppendUvarint(buf, uint64(v.applied))
	if err := f.frame(frameHead, buf); err != nil {
		return err
	}
	members, err := v.s.members(v.snapshot, v.sh.id)
	if err != nil {
		return err
	}
	batches := uint64(0)
	for _, id := range members {
		n := uint64(0)
		if buf, n, err = v.exportPartition(f, buf, id); err != nil {
			return err
		}
		batches += n
	}
	err = v.settings(func(name, value []byte) error {
		buf = appendString(appendString(newFrame(buf), name), value)
		return f.frame(frameSetting, buf)
	})
	if err != nil {
		return err
	}
	buf = binary.AppendUvarint(newFrame(buf), uint64(len(members)))
	buf = binary.AppendUvarint(buf, batches)
	return f.frame(frameEnd, buf)
}

// exportPartition writes one partition; buf is for use and comes back.
func (v *View) exportPartition(f *frameWriter, buf []byte, id base.PartitionID) (_ []byte, batches uint64, err error) {
	p, err := v.partition(id)
	if err != nil {
		return buf, 0, err
	}
	head := streamPartition{id: id}
	for _, r := range []struct {
		kind byte
		to   *[]byte
	}{{kindState, &head.state}, {kindProducers, &head.producers}} {
		if *r.to, _, err = v.s.getFrom(v.snapshot, partitionKey(r.kind, id)); err != nil {
			return buf, 0, err
		}
	}
	buf = head.appendTo(newFrame(buf))
	if err := f.frame(framePartition, buf); err != nil {
		return buf, 0, err
	}
	j, err := p.join(v.snapshot, p.HighWatermark())
	if err != nil {
		return buf, 0, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	buf = newFrame(buf)
	var entry []byte
	for ok := j.seek(0); ok; ok = j.next() {
		data, _, err := j.bytes()
		if err != nil {
			return buf, 0, err
		}
		entry = j.entry.appendTo(entry[:0])
		b := streamBatch{at: j.at, entry: entry, data: data}
		buf = b.appendTo(buf)
		batches++
		if len(buf) >= frameTarget {
			if err := f.frame(frameBatches, buf); err != nil {
				return buf, 0, err
			}
			buf = newFrame(buf)
		}
	}
	if len(buf) > frameHeaderLen && j.err == nil {
		if err := f.frame(frameBatches, buf); err != nil {
			return buf, 0, err
		}
	}
	return buf, batches, j.err
}
