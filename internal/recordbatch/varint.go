package recordbatch

import "math/bits"

// Records are made of Protocol Buffers' zigzag varints: seven bits a byte,
// lowest first, the sign in bit 0.

// varintLen returns the bytes that the unsigned u takes.
func varintLen(u uint64) int { return (bits.Len64(u|1)*9 + 64) >> 6 }

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// putVarint writes u to b[p:], which must have room, and returns the index
// behind it.
func putVarint(b []byte, p int, u uint64) int {
	for u >= 0x80 {
		b[p] = byte(u) | 0x80
		u >>= 7
		p++
	}
	b[p] = byte(u)
	return p + 1
}

// shortVarint reads the varint at b[p:], p >= 0, if it has one or two bytes and
// b has two more; it returns the value with the index behind it, or 0 where
// varintSlow must look. It is made to be inlined.
func shortVarint(b []byte, p int) (int64, int) {
	if q := uint(p) + 1; q < uint(len(b)) {
		u := uint(b[q-1])
		if u < 0x80 {
			return int64(u>>1) ^ -int64(u&1), int(q)
		}
		if c := uint(b[q]); c < 0x80 {
			return int64(c<<6|u&0x7f>>1) ^ -int64(u&1), int(q) + 1
		}
	}
	return 0, 0
}

// varintSlow reads the varint at b[p:] and returns it with the index behind
// it, or -1 where b ends early or the value has more than 64 bits.
func varintSlow(b []byte, p int) (int64, int) {
	var u uint64
	for shift := uint(0); p < len(b) && shift < 64; shift += 7 {
		c := b[p]
		p++
		if c < 0x80 {
			if shift == 63 && c > 1 {
				return 0, -1
			}
			return unzigzag(u | uint64(c)<<shift), p
		}
		u |= uint64(c&0x7f) << shift
	}
	return 0, -1
}

// varint reads the varint at b[p:], p >= 0: see varintSlow.
func varint(b []byte, p int) (int64, int) {
	if v, q := shortVarint(b, p); q > 0 {
		return v, q
	}
	return varintSlow(b, p)
}
