package recordbatch

import "fmt"

// Codec is the compression of a batch's records, in Kafka's numbers.
type Codec int8

// The codecs of Kafka.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4 // KIP-110
)

// Valid reports whether c is one of Kafka's codecs.
func (c Codec) Valid() bool { return c >= None && c <= Zstd }

// String returns the name that compression.type has for c.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", int8(c))
}

// Attributes are the flags of a batch: the codec in bits 0 to 2, then one bit
// each. Unknown bits are kept and ignored, as Kafka does.
type Attributes int16

// The bits of Attributes.
const (
	codecMask        Attributes = 0x07
	logAppendTimeBit Attributes = 1 << 3
	transactionalBit Attributes = 1 << 4
	controlBit       Attributes = 1 << 5
	deleteHorizonBit Attributes = 1 << 6
)

// Codec returns the compression of the records; it need not be Valid.
func (a Attributes) Codec() Codec { return Codec(a & codecMask) }

// TimestampType tells who set the timestamps of a batch
// (message.timestamp.type).
type TimestampType int8

// The timestamp types.
const (
	CreateTime    TimestampType = 0 // the producer, record by record
	LogAppendTime TimestampType = 1 // the log when it took the batch: all records have MaxTimestamp
)

// String returns the name that message.timestamp.type has for t.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}
