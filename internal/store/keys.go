package store

import (
	"encoding/binary"

	"github.com/leatlog/leat/internal/base"
)

// The kinds of keys; doc.go has the picture.
const (
	kindMeta      byte = 0x01
	kindState     byte = 0x02
	kindProducers byte = 0x03
	kindData      byte = 0x07
	kindIndex     byte = 0x09
)

const (
	partitionKeyLen = 1 + 8     // kind, partition
	entryKeyLen     = 1 + 8 + 8 // kind, partition, position or offset
)

func metaKey(name string) []byte {
	return append([]byte{kindMeta}, name...)
}

func partitionKey(kind byte, p base.PartitionID) []byte {
	k := make([]byte, partitionKeyLen)
	k[0] = kind
	binary.BigEndian.PutUint64(k[1:], uint64(p))
	return k
}

func putEntryKey(k []byte, kind byte, p base.PartitionID, o base.Offset) {
	_ = k[entryKeyLen-1]
	k[0] = kind
	binary.BigEndian.PutUint64(k[1:], uint64(p))
	binary.BigEndian.PutUint64(k[9:], uint64(o))
}

func entryKey(kind byte, p base.PartitionID, o base.Offset) []byte {
	k := make([]byte, entryKeyLen)
	putEntryKey(k, kind, p, o)
	return k
}

// entryOffset returns the last eight bytes of an entry key.
func entryOffset(k []byte) base.Offset {
	return base.Offset(binary.BigEndian.Uint64(k[entryKeyLen-8:]))
}
