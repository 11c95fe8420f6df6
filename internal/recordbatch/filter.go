package recordbatch

// FilterOptions are what Filter may be told; the zero value will do.
type FilterOptions struct {
	// Compressor and Level are those of FinishOptions. The codec stays that of
	// the batch.
	Compressor *Compressor
	Level      int
	// Dst is where the result is written if it is large enough; it may be nil
	// and must not overlap the batch.
	Dst []byte
	// DeleteHorizon, milliseconds since 1970, becomes the batch's (KIP-534) if
	// the batch has none yet and keeps a tombstone or is a control batch: the
	// time from which those may go (now + delete.retention.ms). 0 sets none.
	DeleteHorizon int64
	// KeepEmpty keeps a batch that lost all records as a header without
	// records, as Kafka does for the last batch of a producer, whose sequence
	// must not be forgotten.
	KeepEmpty bool
}

// Filter is compaction's step: it returns batch with only the records for which
// keep returns true. They have their offsets and timestamps; base offset, last
// offset delta, producer fields, flags and leader epoch are those of the batch, so
// it covers the same offsets and sequences. kept is the number of records left.
//
// If all are kept and no delete horizon has to be set, out is batch itself. If none
// is kept, out is nil, or a header with KeepEmpty. Otherwise out is the
// caller's, and in Dst if that was large enough.
//
// keep is called once for each record, in order, and must not retain it. d
// unpacks compressed batches, as in Iterator.Reset. batch must be one batch
// exactly; its CRC is not checked. The error is that of Iterator, or of
// Builder.Finish, and leaves out nil.
func Filter(batch []byte, d *Decompressor, keep func(*Record) bool, o FilterOptions) (out []byte, kept int, err error) {
	var it Iterator
	if err := it.Reset(batch, d); err != nil {
		return nil, 0, err
	}
	start := it
	h := *it.Header()
	// First decide, then encode: mostly there is nothing to encode.
	chosen := make([]uint64, (int(h.NumRecords)+63)/64)
	tombstone := h.IsControl()
	var r Record // a copy, for a keep that writes to it
	for i := 0; it.Next(); i++ {
		r = *it.Record()
		null := r.Value == nil
		if keep(&r) {
			chosen[i/64] |= 1 << (i % 64)
			kept++
			tombstone = tombstone || null
		}
	}
	if err := it.Err(); err != nil {
		return nil, 0, err
	}
	setHorizon := o.DeleteHorizon > 0 && !h.HasDeleteHorizon() && tombstone && kept > 0
	if kept == int(h.NumRecords) && !setHorizon && (kept > 0 || o.KeepEmpty) {
		return batch, kept, nil
	}
	if kept == 0 {
		if !o.KeepEmpty {
			return nil, 0, nil
		}
		return emptyBatch(h, o.Dst), 0, nil
	}

	var b Builder
	codec := h.Codec()
	if codec == None {
		b.Reset(o.Dst)
	}
	if setHorizon {
		b.setBaseTimestamp(o.DeleteHorizon)
		h.Attributes |= deleteHorizonBit
	} else if h.HasDeleteHorizon() {
		b.setBaseTimestamp(h.BaseTimestamp)
	}
	it = start
	for i := 0; it.Next(); i++ {
		if chosen[i/64]&(1<<(i%64)) != 0 {
			if err := b.appendRecord(it.Record(), int32(it.Record().Offset-h.BaseOffset)); err != nil {
				return nil, 0, err
			}
		}
	}
	if err := it.Err(); err != nil {
		return nil, 0, err
	}
	if h.TimestampType() == CreateTime {
		h.MaxTimestamp = b.max
	}
	h.Attributes &^= codecMask
	if out, err = b.finish(h, codec, o.Level, o.Compressor, o.Dst); err != nil {
		return nil, 0, err
	}
	return out, kept, nil
}

// emptyBatch returns h as a batch without records, in dst if that is large
// enough. It has no base timestamp, as in Kafka.
func emptyBatch(h Header, dst []byte) []byte {
	if cap(dst) < HeaderSize {
		dst = make([]byte, HeaderSize)
	}
	dst = dst[:HeaderSize]
	h.Attributes &^= codecMask | deleteHorizonBit
	h.BaseTimestamp = -1
	h.NumRecords = 0
	h.seal(dst)
	return dst
}
