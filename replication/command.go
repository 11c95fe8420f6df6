package replication

import (
	"encoding/binary"
	"fmt"

	"github.com/leatlog/leat/internal/base"
)

// A command is what a data shard's Raft log carries. All numbers are
// big-endian:
//
//	append:           | kind 1 u8 | version u8 | partition u64 | leader epoch i32 |
//	                  | now i64, milliseconds | the record batch ... |
//	create partition: | kind 2 u8 | version u8 | partition u64 |
//	drop partition:   | kind 3 u8 | version u8 | partition u64 |
//	trim:             | kind 4 u8 | version u8 | partition u64 | new log start offset i64 |
//	barrier:          | kind 5 u8 | version u8 |
//	fence:            | kind 6 u8 | version u8 | leader epoch i32 |
//
// The store recognises an append by these bytes, in the log too: they cannot
// change. What time stamps, limits and authorisation have to say is decided
// before a command is proposed.

type commandKind uint8

const (
	kindAppend          commandKind = 1
	kindCreatePartition commandKind = 2
	kindDropPartition   commandKind = 3
	kindTrim            commandKind = 4
	kindBarrier         commandKind = 5
	kindFence           commandKind = 6
)

const (
	commandVersion = 1

	appendHeaderBytes = 2 + 8 + 4 + 8
)

// command is a decoded command.
type command struct {
	kind      commandKind
	partition base.PartitionID
	epoch     base.LeaderEpoch
	nowMillis int64
	offset    base.Offset
	batch     []byte // aliases what was decoded
}

// appendTo appends the encoding.
func (c *command) appendTo(b []byte) []byte {
	b = append(b, byte(c.kind), commandVersion)
	switch c.kind {
	case kindBarrier:
		return b
	case kindFence:
		return binary.BigEndian.AppendUint32(b, uint32(c.epoch))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.partition))
	switch c.kind {
	case kindAppend:
		b = binary.BigEndian.AppendUint32(b, uint32(c.epoch))
		b = binary.BigEndian.AppendUint64(b, uint64(c.nowMillis))
		b = append(b, c.batch...)
	case kindTrim:
		b = binary.BigEndian.AppendUint64(b, uint64(c.offset))
	}
	return b
}

// decodeCommand decodes a command; it returns ErrUnknownCommand for one of a
// later version.
func decodeCommand(b []byte) (command, error) {
	d := decoder{buf: b}
	c := command{kind: commandKind(d.uint8())}
	v := d.uint8()
	if d.err != nil {
		return c, d.err
	}
	if v != commandVersion || c.kind < kindAppend || c.kind > kindFence {
		return c, fmt.Errorf("%w: kind %d, version %d", ErrUnknownCommand, c.kind, v)
	}
	if c.kind < kindBarrier {
		c.partition = base.PartitionID(d.uint64())
	}
	switch c.kind {
	case kindFence:
		c.epoch = base.LeaderEpoch(d.uint32())
	case kindAppend:
		c.epoch = base.LeaderEpoch(d.uint32())
		c.nowMillis = int64(d.uint64())
		c.batch, d.buf = d.buf, nil
	case kindTrim:
		c.offset = base.Offset(d.uint64())
	}
	return c, d.finish()
}
