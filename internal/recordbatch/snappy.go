package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Kafka's Java clients wrap snappy in the frame of xerial's snappy-java:
//
//	| 0x82 "SNAPPY" 0x00 | version, int32 | compatible with, int32 |
//	then for each block | length, int32 | snappy block of that many bytes |
//
// Big-endian; version and compatible are 1. Several such streams may follow
// each other.
const (
	xerialMagic      = "\x82SNAPPY\x00"
	xerialHeaderSize = len(xerialMagic) + 8
	// xerialVersion is the newest "compatible with" that is read.
	xerialVersion = 1
)

var errXerialCut = errors.New("xerial frame is cut off")

// cutXerial returns what follows a xerial header, if b begins with one.
func cutXerial(b []byte) ([]byte, bool) {
	if len(b) < xerialHeaderSize || !bytes.HasPrefix(b, []byte(xerialMagic)) {
		return b, false
	}
	if c := binary.BigEndian.Uint32(b[xerialHeaderSize-4:]); c > xerialVersion {
		return b, false
	}
	return b[xerialHeaderSize:], true
}

// unpackXerial unpacks the blocks of a xerial frame.
func (d *Decompressor) unpackXerial(b []byte) ([]byte, error) {
	out := d.room(0)
	for len(b) > 0 {
		if rest, ok := cutXerial(b); ok {
			b = rest
			continue
		}
		if len(b) < 4 {
			return nil, errXerialCut
		}
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		if uint64(n) > uint64(len(b)) {
			return nil, errXerialCut
		}
		var err error
		if out, err = d.appendSnappy(out, b[:n]); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return out, nil
}

// snappyOnly reports whether the snappy block b has no element that only S2
// knows, an extension that our decoder takes and other clients' do not: a copy
// of one byte's length with offset 0. b was unpacked before.
func snappyOnly(b []byte) bool {
	_, n := binary.Uvarint(b)
	if n <= 0 {
		return false
	}
	for b = b[n:]; len(b) > 0; {
		size := 1
		switch tag := b[0]; tag & 3 {
		case 0: // literal
			n := int(tag >> 2)
			if n >= 60 {
				// The length less one is in the next one to four bytes.
				size += n - 59
				if len(b) < size {
					return false
				}
				n = 0
				for i := size - 1; i > 0; i-- {
					n = n<<8 | int(b[i])
				}
			}
			size += n + 1
		case 1: // copy, offset of 11 bits
			if size = 2; len(b) < size || (tag>>5 == 0 && b[1] == 0) {
				return false
			}
		case 2: // copy, offset of 16 bits
			size = 3
		case 3: // copy, offset of 32 bits
			size = 5
		}
		if size > len(b) {
			return false
		}
		b = b[size:]
	}
	return true
}

// allSnappyOnly is snappyOnly for all blocks of what Decompress took: a bare
// block or xerial's frame.
func allSnappyOnly(b []byte) bool {
	b, framed := cutXerial(b)
	if !framed {
		return snappyOnly(b)
	}
	for len(b) > 0 {
		if rest, ok := cutXerial(b); ok {
			b = rest
			continue
		}
		n := binary.BigEndian.Uint32(b)
		if b = b[4:]; !snappyOnly(b[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}
