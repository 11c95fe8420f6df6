package bench

import (
	"encoding/binary"
	"math/rand/v2"
)

// poolBytes is the size of the random bytes that values are cut from: larger
// than the caches of a core, small beside what a benchmark writes.
const poolBytes = 32 << 20

// Values yields record values that no compressor can shrink, without making
// random bytes while the clock runs: they are slices of one pool, cut anew at
// another offset each time around.
type Values struct {
	pool  []byte
	size  int
	pos   int
	shift int
}

// NewValues returns values of size bytes each, at most a MiB. The same sequence
// comes every time.
func NewValues(size int) *Values {
	rng := rand.New(rand.NewPCG(1, 2))
	pool := make([]byte, poolBytes)
	for i := 0; i+8 <= len(pool); i += 8 {
		binary.LittleEndian.PutUint64(pool[i:], rng.Uint64())
	}
	return &Values{pool: pool, size: size}
}

// Next returns the next value. The slice is shared and must not be changed.
func (v *Values) Next() []byte {
	if v.pos+v.size > len(v.pool) {
		v.shift = (v.shift + 7) % v.size
		v.pos = v.shift
	}
	value := v.pool[v.pos : v.pos+v.size : v.pos+v.size]
	v.pos += v.size
	return value
}

// Keys yields 16-byte keys drawn evenly from a fixed number of them, as the ids
// of users or orders would be. A nil *Keys yields no key.
type Keys struct {
	keys [][]byte
	rng  *rand.Rand
}

// NewKeys returns n distinct keys, or nil (records without a key) for n = 0.
func NewKeys(n int) *Keys {
	if n == 0 {
		return nil
	}
	k := &Keys{keys: make([][]byte, n), rng: rand.New(rand.NewPCG(3, 4))}
	all := make([]byte, 16*n)
	for i := range k.keys {
		key := all[16*i : 16*i+16 : 16*i+16]
		binary.BigEndian.PutUint64(key, k.rng.Uint64())
		binary.BigEndian.PutUint64(key[8:], uint64(i))
		k.keys[i] = key
	}
	return k
}

// Next returns the next key, nil for records without one. The slice is shared
// and must not be changed.
func (k *Keys) Next() []byte {
	if k == nil {
		return nil
	}
	return k.keys[k.rng.IntN(len(k.keys))]
}
