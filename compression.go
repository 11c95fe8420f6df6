package leat

// Compression is how the records of a batch are compressed. Kafka's
// compression.type.
type Compression uint8

// The compressions. The zero value inherits.
const (
	// ProducerCompression stores batches as the producer compressed them. It
	// is for topics, and their default; a producer cannot use it.
	ProducerCompression Compression = iota + 1
	// Uncompressed stores and sends records as they are.
	Uncompressed
	// Gzip compresses with gzip.
	Gzip
	// Snappy compresses with Snappy in the framing that Kafka's clients use.
	Snappy
	// LZ4 compresses with LZ4's frame format.
	LZ4
	// Zstd compresses with Zstandard.
	Zstd
)

// compressionNames is indexed by Compression.
var compressionNames = []string{enumDefault, "producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"}

// String returns Kafka's spelling, and "default" for the zero value.
func (c Compression) String() string { return enumString(compressionNames, c) }

// MarshalText returns String, or a *ConfigError for a value that is none of
// the compressions.
func (c Compression) MarshalText() ([]byte, error) {
	return enumMarshal("compression.type", compressionNames, c)
}

// UnmarshalText accepts what MarshalText returns.
func (c *Compression) UnmarshalText(text []byte) error {
	return enumUnmarshal("compression.type", compressionNames, c, text)
}
