// Package store keeps the partitions of one node in one Pebble database. It is
// the only importer of Pebble.
//
// # Nouns
//
// A Store is the database and its commit pipeline. A Partition is one key range
// of it: record batches in the order of their offsets. A batch is Kafka's
// RecordBatch v2 and is stored byte for byte; the store stamps the base offset
// and the leader epoch, which lie outside its checksum.
//
// # Guarantees
//
//   - Append returns once the batches are in the write-ahead log and the log is
//     fsynced. All that arrives while an fsync runs shares the next one.
//   - Nothing can be read before it is durable: readers are bounded by the high
//     watermark, which moves after the fsync, never by what Pebble shows.
//   - The write-ahead log is one, so that a crash loses a suffix of what was
//     written and never a piece from its middle. An offset that was
//     acknowledged is not given out again.
//   - Every batch read from disk is checked against its CRC-32C. A bad one is
//     an error that names partition and offset; it is never returned.
//   - When the disk fails, the Store fails: every later write is refused with
//     the first error (ErrFailed), the directory stays as it is at that moment,
//     and what is durable can be read on. The process is left alone; failStopFS
//     tells how. A write that got ErrFailed may or may not be there after the next
//     Open.
//   - A damaged file is an error that names it, of Open or of the read that meets
//     it, and never wrong data.
//
// # Caveats
//
//   - Damage within the last 32 KiB block of the write-ahead log cannot be told
//     from a write that a crash cut short: after a crash, and only then, a flipped
//     bit there ends the log early, acknowledged records behind it included. Close
//     leaves nothing in the log.
//   - Damage that a compaction in the background meets stops the Store, as a
//     failing disk does.
//   - Close waits for an fsync that hangs.
//
// # Compaction
//
// Compaction changes batches in place, under the same keys: their offsets and
// their index entries' totals stay, records go. A batch without records goes
// with its index entry, but the last of the partition, which stays as a header:
// so below the high watermark there is always a batch that leads a reader on. A
// reader therefore goes on at the end of a batch (Header.NextOffset), not behind
// its last record. A piece of a compaction is one commit, so that a crash leaves
// a log that is compacted in part and whole.
//
// # Replicated partitions
//
// A shard is a Raft group that carries partitions. Its Raft log is kept here, and
// the payload of a data entry is stored once, where it will be read: under its
// partition's data key. SaveLog puts it there before anybody knows whether the
// entry will be committed; what makes it a batch of the partition is the index
// entry that an Apply writes. So data without an index entry is passed over: it
// is not applied yet, was refused, or is trimmed. The bytes are those that were
// proposed: readers get a copy with the base offset and the leader epoch of the
// index entry.
//
//   - An entry that is replaced in the log goes with its payload, but never one
//     that was applied (ErrLogApplied).
//   - What is applied is written without an fsync, with the applied index in the
//     same write. A crash takes a suffix of it, which Raft replays, and which
//     comes to the same offsets.
//   - The high watermark is what was applied. After a crash it may be lower than it
//     was, until Raft has replayed what was committed.
//   - As long as the log has an entry, its payload stays as it was proposed:
//     trimming, refusing and dropping defer the removal of the data, and compaction
//     leaves out batches from the log's first index on. RemoveLogTo makes up for it.
//   - Of one shard, a node has one replica at a time.
//
// The same Store can have both kinds of partitions; ids are shared.
//
// # Keys
//
// Integers are big-endian, so that a partition is one range in offset order.
//
//	kind  key                        value
//	0x01  name                       a setting of the node: format, topics, producer ids
//	0x02  partition                  partition state: what the removed prefix left behind
//	0x03  partition                  producer snapshot: the idempotence state at an offset
//	0x04  shard | replica | what     Raft: 1 bootstrap record, 2 state, 3 snapshot record, 4 first index
//	0x05  shard | replica | index    Raft log entry
//	0x06  shard                      what the shard's partitions have applied
//	0x07  partition | position       RecordBatch v2, as the producer sent it
//	0x08  shard | partition          the partition belongs to the shard
//	0x09  partition | base offset    index entry of that batch
//	0x0a  shard | name               a setting of the shard
//	0x0b  shard | position | partition | what
//	                                 bytes of data to remove once the Raft log is gone up to the
//	                                 position: what is 1 for one position, 2 for all up to it
//
// A position is the base offset of the batch on a standalone node, and the Raft
// index of the entry that brought it in a replicated partition.
//
// A Raft log entry is
//
//	version  1 byte    1
//	flags    1 byte    bit 0: a payload is under the partition's data key
//	uvarint  partition                                   (flag bit 0)
//	uvarint  bytes of the payload                        (flag bit 0)
//	4 bytes  CRC-32C of the payload, big-endian          (flag bit 0)
//	the rest           what the log keeps, opaque to the store
//
// Values under 0x07 go to Pebble's blob files and are not rewritten by
// compactions. The index entry is small and lives in the tables; it is what
// recovery, lookup by time, retention and the idempotence state are made from,
// so that none of them reads a batch:
//
//	version  1 byte    1
//	flags    1 byte    bit 0: producer fields follow; bit 1: position fields follow
//	uvarint  last offset delta
//	uvarint  records in the batch
//	uvarint  bytes of the batch
//	uvarint  leader epoch + 1
//	varint   highest timestamp of the partition up to here, ms
//	uvarint  bytes appended to the partition up to here, this batch included
//	uvarint  records appended to the partition up to here
//	uvarint  producer id, producer epoch, base sequence   (flag bit 0)
//	uvarint  position of the data                         (flag bit 1)
//	varint   time of the command, ms; never falls         (flag bit 1)
//
// # Who owns the bytes
//
// A batch given to Append belongs to the store from then on: it is kept in the
// tail cache and handed to readers as it is. What Read returns must not be
// written to; it stays valid for as long as the caller holds it.
package store
