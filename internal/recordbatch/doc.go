// Package recordbatch reads and writes Kafka's RecordBatch, message format 2
// (KIP-98), byte for byte.
//
// # The batch
//
// All numbers are big-endian; a row begins at the byte to its left.
//
//	 0 | base offset i64   | batch length i32   | leader epoch i32  | magic i8 |
//	17 | crc u32           | attributes i16     | last offset delta i32        |
//	27 | base timestamp i64                     | max timestamp i64            |
//	43 | producer id i64   | producer epoch i16 | base sequence i32            |
//	57 | number of records i32                                                 |
//	61 | the records, compressed together as the attributes say ...
//
// The batch length counts what follows it. The CRC-32C covers everything from
// the attributes on: base offset and leader epoch are set by the log without
// touching it.
//
// The attributes, from bit 15 to bit 0:
//
//	| 15 ... 7 | 6              | 5       | 4             | 3             | 2 1 0 |
//	| unused   | delete horizon | control | transactional | LogAppendTime | codec |
//
// # The record
//
// A varint is Protocol Buffers' zigzag varint. The length counts what follows
// it.
//
//	| length varint | attributes i8 | timestamp delta varint | offset delta varint |
//	| key length varint | key | value length varint | value | header count varint |
//	then each header: | key length varint | key | value length varint | value |
//
// A length of -1 is null; a header's key cannot be null. Deltas are to the
// batch's base offset and base timestamp. With LogAppendTime every record has
// the batch's max timestamp. With a delete horizon (KIP-534) the base timestamp
// is that horizon.
//
// # Guarantees
//
// A Builder encodes into one buffer; what it is given is copied. An Iterator
// allocates nothing per record; its records alias the batch, or the buffer of
// the Decompressor that unpacked it. ParseHeader, Next and Verify look at the
// outside of a batch; Validate looks at everything and is for batches that a
// stranger sent. Nothing here panics on bad input. What unpacking may produce
// has a bound, and what the input only claims to hold gets no memory but for
// the block that an lz4 frame announces, 8 MiB at most.
//
// No type may be used by several goroutines at once; different values are
// independent of each other, for the package keeps no state.
package recordbatch
