package leat

import (
	"strconv"
	"time"

	"github.com/leatlog/leat/internal/recordbatch"
)

// Acks says what a producer waits for before it calls a record acknowledged.
type Acks int8

const (
	// AcksAll waits until the record is durable: fsynced, in a cluster by a
	// majority (acks=all). The default.
	AcksAll Acks = iota
	// AcksLeader waits until the record has its offset and is handed to the log,
	// before the fsync (acks=1). A crash of the process or the machine may lose
	// it. In a cluster it is the same as AcksAll.
	AcksLeader
	// AcksNone does not wait: a record is acknowledged when it is in the
	// producer's buffer, and its offset is not told (acks=0).
	AcksNone
)

// ProducerOption sets something of a Producer.
type ProducerOption func(*producerConfig)

type producerConfig struct {
	acks            Acks
	compression     Compression
	level           int
	linger          time.Duration
	batchBytes      int
	bufferBytes     int64
	nonBlocking     bool
	partitioner     Partitioner // nil: KeyPartitioner
	idempotent      bool
	deliveryTimeout time.Duration
}

const (
	defaultBatchBytes      = 1 << 20
	batchBytesMax          = messageBytesMax
	defaultBufferBytes     = 32 << 20
	bufferBytesMin         = 64 << 10
	defaultDeliveryTimeout = 2 * time.Minute
	// stickyBytes is how much goes to one partition before the next keyless
	// record goes to another; stickyBytesMax, while the batch there has not left.
	stickyBytes    = 64 << 10
	stickyBytesMax = 256 << 10
)

func defaultProducerConfig() producerConfig {
	return producerConfig{
		batchBytes:      defaultBatchBytes,
		bufferBytes:     defaultBufferBytes,
		idempotent:      true,
		compression:     Uncompressed,
		deliveryTimeout: defaultDeliveryTimeout,
	}
}

// WithAcks sets what is waited for (acks). Default AcksAll.
func WithAcks(a Acks) ProducerOption { return func(c *producerConfig) { c.acks = a } }

// WithCompression compresses batches (compression.type). Default Uncompressed. A
// topic whose own Compression is not ProducerCompression decides for itself.
func WithCompression(codec Compression) ProducerOption {
	return func(c *producerConfig) { c.compression = codec }
}

// WithCompressionLevel sets the codec's own level: gzip and lz4 1 to 9, zstd 1 to
// 22 (compression.zstd.level and its like). Default 0, which is the codec's.
func WithCompressionLevel(level int) ProducerOption {
	return func(c *producerConfig) { c.level = level }
}

// WithLinger lets asynchronous records wait for up to d for others to share
// their batch (linger.ms). Default 0: a record goes at once when nothing is in
// flight, and while something is, what comes is collected. ProduceSync and Flush
// do not linger. At most an hour.
func WithLinger(d time.Duration) ProducerOption { return func(c *producerConfig) { c.linger = d } }

// WithBatchBytes bounds a batch before compression (batch.size). Default 1 MiB;
// 1 byte, which makes each record a batch, to 256 MiB. A topic's MaxMessageBytes
// bounds it too.
func WithBatchBytes(n int) ProducerOption { return func(c *producerConfig) { c.batchBytes = n } }

// WithBufferBytes bounds what the producer holds of records that are not stored
// yet (buffer.memory). Default 32 MiB, at least 64 KiB. A record must fit.
func WithBufferBytes(n int64) ProducerOption { return func(c *producerConfig) { c.bufferBytes = n } }

// WithNonBlocking makes records fail with ErrBufferFull when the buffer has no
// room. The default is to wait for room until ctx ends (max.block.ms).
func WithNonBlocking() ProducerOption { return func(c *producerConfig) { c.nonBlocking = true } }

// WithPartitioner sets who chooses the partition. Default, and for nil,
// KeyPartitioner.
func WithPartitioner(p Partitioner) ProducerOption {
	return func(c *producerConfig) { c.partitioner = p }
}

// WithoutIdempotence leaves producer id and sequence out of the batches
// (enable.idempotence=false); a retry may then store a batch twice.
func WithoutIdempotence() ProducerOption { return func(c *producerConfig) { c.idempotent = false } }

// WithDeliveryTimeout bounds the retries of a batch (delivery.timeout.ms).
// Default 2 minutes. A standalone Log has nothing to retry.
func WithDeliveryTimeout(d time.Duration) ProducerOption {
	return func(c *producerConfig) { c.deliveryTimeout = d }
}

func (c *producerConfig) validate() error {
	bad := func(name string, value int64, rule string) error {
		return &ConfigError{Property: name, Value: strconv.FormatInt(value, 10), Rule: rule}
	}
	switch {
	case c.acks < AcksAll || c.acks > AcksNone:
		return bad("acks", int64(c.acks), "must be AcksAll, AcksLeader or AcksNone")
	case c.compression < Uncompressed || c.compression > Zstd:
		return bad("compression.type", int64(c.compression), "must be Uncompressed, Gzip, Snappy, LZ4 or Zstd")
	case c.level < 0 || c.level > 22 || (c.level > 9 && c.compression != Zstd):
		return bad("compression level", int64(c.level), "must be from 0 to 9, with Zstd to 22")
	case c.linger < 0 || c.linger > time.Hour:
		return &ConfigError{Property: "linger.ms", Value: c.linger.String(), Rule: "must be from 0 to an hour"}
	case c.batchBytes < 1 || c.batchBytes > batchBytesMax:
		return bad("batch.size", int64(c.batchBytes), "must be from 1 to 268435456 bytes")
	case c.bufferBytes < bufferBytesMin:
		return bad("buffer.memory", c.bufferBytes, "must be at least 65536 bytes")
	case c.deliveryTimeout <= 0:
		return &ConfigError{Property: "delivery.timeout.ms", Value: c.deliveryTimeout.String(), Rule: "must be above 0"}
	}
	return nil
}

// codec translates a compression that is stored.
func (c Compression) codec() recordbatch.Codec {
	switch c {
	case Gzip:
		return recordbatch.Gzip
	case Snappy:
		return recordbatch.Snappy
	case LZ4:
		return recordbatch.LZ4
	case Zstd:
		return recordbatch.Zstd
	default:
		return recordbatch.None
	}
}
