package leat

// TimestampType says whose clock a topic's records carry. Kafka's
// message.timestamp.type.
type TimestampType uint8

// The timestamp types. The zero value inherits.
const (
	// CreateTime keeps the timestamp that the producer gave. The default.
	CreateTime TimestampType = iota + 1
	// LogAppendTime replaces it by the time of the append.
	LogAppendTime
)

// timestampTypeNames is indexed by TimestampType.
var timestampTypeNames = []string{enumDefault, "CreateTime", "LogAppendTime"}

// String returns Kafka's spelling, and "default" for the zero value.
func (t TimestampType) String() string { return enumString(timestampTypeNames, t) }

// MarshalText returns String, or a *ConfigError for a value that is none of
// the types.
func (t TimestampType) MarshalText() ([]byte, error) {
	return enumMarshal("message.timestamp.type", timestampTypeNames, t)
}

// UnmarshalText accepts what MarshalText returns.
func (t *TimestampType) UnmarshalText(text []byte) error {
	return enumUnmarshal("message.timestamp.type", timestampTypeNames, t, text)
}
