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

// varintSlow reads the varint at b[p:] and returns it with the index behind
// it, or -1 where b ends early, p is -1 or the value has more than 64 bits.
// Callers look at the one-byte case first.
func varintSlow(b []byte, p int) (int64, int) {
	if p < 0 {
		return 0, -1
	}
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

// varint reads the varint at b[p:]: see varintSlow.
func varint(b []byte, p int) (int64, int) {
	if uint(p) < uint(len(b)) {
		if c := b[p]; c < 0x80 {
			return int64(c>>1) ^ -int64(c&1), p + 1
		}
	}
	return varintSlow(b, p)
}
