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
