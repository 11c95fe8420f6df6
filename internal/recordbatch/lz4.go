package recordbatch

import "encoding/binary"

// The frame of lz4, little-endian:
//
//	| magic u32 | flags u8 | block size u8 | content size u64, if flagged | dictionary u32, if flagged | header checksum u8 |
//	then each block: | size u32, its top bit set for one stored as is | bytes | checksum u32, if flagged |
//	| 0 u32 | checksum u32, if flagged |
const (
	lz4Magic           = 0x184d2204
	lz4Version         = 1 << 6 // in the flags' top two bits
	lz4VersionMask     = 3 << 6
	lz4Independent     = 1 << 5
	lz4BlockChecksum   = 1 << 4
	lz4ContentSize     = 1 << 3
	lz4ContentChecksum = 1 << 2
	lz4Dictionary      = 1 << 0
)

// kafkasLZ4 reports whether b is one frame of lz4 whose blocks do not refer to
// each other. That is all that Kafka's own clients read (KIP-57), while ours
// unpacks more. b may be anything.
func kafkasLZ4(b []byte) bool {
	const fixed = 4 + 1 + 1 + 1
	if len(b) < fixed || binary.LittleEndian.Uint32(b) != lz4Magic {
		return false
	}
	flags := b[4]
	if flags&lz4VersionMask != lz4Version || flags&lz4Independent == 0 || flags&lz4Dictionary != 0 {
		return false
	}
	header := fixed
	if flags&lz4ContentSize != 0 {
		header += 8
	}
	if len(b) < header {
		return false
	}
	for b = b[header:]; len(b) >= 4; {
		size := int64(binary.LittleEndian.Uint32(b) &^ (1 << 31))
		b = b[4:]
		if size == 0 {
			if flags&lz4ContentChecksum == 0 {
				return len(b) == 0
			}
			return len(b) == 4
		}
		if flags&lz4BlockChecksum != 0 {
			size += 4
		}
		if size > int64(len(b)) {
			return false
		}
		b = b[size:]
	}
	return false
}
