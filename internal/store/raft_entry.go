package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/bits"

	"github.com/leatlog/leat/internal/base"
)

const (
	raftEntryVersion    = 1
	raftEntryHasPayload = 1 << 0
)

var errRaftEntry = errors.New("an entry of the Raft log cannot be decoded")

// castagnoli is an immutable table.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// raftEntry is what the Raft log keeps of one entry; its key holds the index.
type raftEntry struct {
	hasPayload  bool
	partition   base.PartitionID
	payloadSize int
	payloadCRC  uint32 // CRC-32C of all of the payload
	head        []byte
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// size is that of the encoding.
func (e *raftEntry) size() int {
	n := 2 + len(e.head)
	if e.hasPayload {
		n += uvarintLen(uint64(e.partition)) + uvarintLen(uint64(e.payloadSize)) + 4
	}
	return n
}

func (e *raftEntry) appendTo(b []byte) []byte {
	if !e.hasPayload {
		return append(append(b, raftEntryVersion, 0), e.head...)
	}
	b = append(b, raftEntryVersion, raftEntryHasPayload)
	b = binary.AppendUvarint(b, uint64(e.partition))
	b = binary.AppendUvarint(b, uint64(e.payloadSize))
	b = binary.BigEndian.AppendUint32(b, e.payloadCRC)
	return append(b, e.head...)
}

// decode makes head a part of b.
func (e *raftEntry) decode(b []byte) error {
	*e = raftEntry{}
	if len(b) < 2 || b[0] != raftEntryVersion || b[1]&^raftEntryHasPayload != 0 {
		return errRaftEntry
	}
	e.hasPayload = b[1]&raftEntryHasPayload != 0
	if !e.hasPayload {
		e.head = b[2:]
		return nil
	}
	d := varintDecoder{b: b[2:]}
	e.partition = base.PartitionID(d.uvarint(math.MaxUint64))
	e.payloadSize = int(d.uvarint(math.MaxInt32))
	if d.bad || e.payloadSize == 0 || len(d.b) < 4 {
		return errRaftEntry
	}
	e.payloadCRC = binary.BigEndian.Uint32(d.b)
	e.head = d.b[4:]
	return nil
}

const raftSnapshotVersion = 1

// encodeRaftSnapshot is the record of a Raft snapshot: what the caller knows of it
// and the index that it covers, inclusively.
func encodeRaftSnapshot(index base.RaftIndex, meta []byte) []byte {
	b := append(make([]byte, 0, 1+binary.MaxVarintLen64+len(meta)), raftSnapshotVersion)
	b = binary.AppendUvarint(b, uint64(index))
	return append(b, meta...)
}

// decodeRaftSnapshot makes meta a part of b.
func decodeRaftSnapshot(b []byte) (index base.RaftIndex, meta []byte, err error) {
	if len(b) == 0 || b[0] != raftSnapshotVersion {
		return 0, nil, errors.New("the record of a Raft snapshot cannot be decoded")
	}
	d := varintDecoder{b: b[1:]}
	index = base.RaftIndex(d.uvarint(math.MaxUint64))
	if d.bad {
		return 0, nil, errors.New("the record of a Raft snapshot cannot be decoded")
	}
	return index, d.b, nil
}

const raftStartVersion = 1

// encodeRaftStart is where a Raft log begins: the index of its first entry, or of
// the one that will be, and what was applied, at least, when the entries before
// it were removed.
func encodeRaftStart(first, applied base.RaftIndex) []byte {
	b := binary.AppendUvarint([]byte{raftStartVersion}, uint64(first))
	return binary.AppendUvarint(b, uint64(applied))
}

func decodeRaftStart(b []byte) (first, applied base.RaftIndex, err error) {
	if len(b) > 0 && b[0] == raftStartVersion {
		d := varintDecoder{b: b[1:]}
		first, applied = base.RaftIndex(d.uvarint(math.MaxUint64)), base.RaftIndex(d.uvarint(math.MaxUint64))
		if !d.bad && len(d.b) == 0 && first > 0 && applied < first {
			return first, applied, nil
		}
	}
	return 0, 0, errors.New("start of a Raft log cannot be decoded")
}
