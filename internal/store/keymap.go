package store

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/leatlog/leat/internal/base"
)

const (
	// keySlotBytes is what one key takes in a keyMap.
	keySlotBytes = 16 + 8
	// keyMapMinSlots keeps a map useful whatever bound was asked for.
	keyMapMinSlots = 64
)

// keyHash stands for a record's key: 128 bits of its SHA-256. Two keys that
// share one would be taken for one key and a record would be lost, so it must
// be a hash for which nobody can make such keys.
type keyHash [16]byte

func hashKey(key []byte) keyHash {
	sum := sha256.Sum256(key)
	return keyHash(sum[:16])
}

// keyMap maps keys to the offset of their last record in a table of fixed size.
//
// Invariants: len(hashes) == len(offsets); used slots have an offset >= 0,
// empty ones -1; used <= limit < len(offsets), so that a search ends.
type keyMap struct {
	hashes  []keyHash
	offsets []base.Offset
	used    int
	limit   int
}

// newKeyMap returns a map for up to keys keys that takes about limitBytes at
// most, and for fewer keys if that does not suffice.
func newKeyMap(keys uint64, limitBytes int64) *keyMap {
	// A third stays empty: the searches stay short.
	slots := max(keyMapMinSlots, limitBytes/keySlotBytes)
	if keys < uint64(slots)*2/3 {
		slots = max(keyMapMinSlots, int64(keys+keys/2)+1)
	}
	m := &keyMap{}
	m.alloc(int(slots))
	return m
}

func (m *keyMap) alloc(slots int) {
	m.hashes = make([]keyHash, slots)
	m.offsets = make([]base.Offset, slots)
	for i := range m.offsets {
		m.offsets[i] = -1
	}
	m.used, m.limit = 0, slots*2/3
}

// hasRoom tells whether n more keys fit.
func (m *keyMap) hasRoom(n int32) bool { return m.used+int(n) <= m.limit }

// grow makes an empty map that n keys fit into.
func (m *keyMap) grow(n int32) { m.alloc(max(keyMapMinSlots, int(n)*3/2+2)) }

// slot returns where a hash is or would be put.
func (m *keyMap) slot(h *keyHash) int {
	n := uint64(len(m.offsets))
	i, _ := bits.Mul64(binary.LittleEndian.Uint64(h[:]), n)
	for m.offsets[i] >= 0 && m.hashes[i] != *h {
		if i++; i == n {
			i = 0
		}
	}
	return int(i)
}

// put notes that the key's last record so far is at the given offset.
func (m *keyMap) put(h keyHash, at base.Offset) {
	i := m.slot(&h)
	if m.offsets[i] < 0 {
		m.hashes[i] = h
		m.used++
	}
	m.offsets[i] = at
}

// get returns the offset of the key's last record, or -1.
func (m *keyMap) get(h keyHash) base.Offset { return m.offsets[m.slot(&h)] }
