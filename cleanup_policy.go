package leat

// CleanupPolicy says what is done with a topic's old records. Kafka's
// cleanup.policy.
type CleanupPolicy uint8

// The cleanup policies. The zero value inherits.
const (
	// Delete removes records that are older than TopicConfig.Retention or that
	// make the partition larger than TopicConfig.RetentionBytes. The default.
	Delete CleanupPolicy = iota + 1
	// Compact keeps at least the last record of each key.
	Compact
	// CompactDelete does both.
	CompactDelete
)

// cleanupPolicyNames is indexed by CleanupPolicy.
var cleanupPolicyNames = []string{enumDefault, "delete", "compact", "compact,delete"}

// Deletes reports whether old records are removed whatever their key.
func (p CleanupPolicy) Deletes() bool { return p == Delete || p == CompactDelete }

// Compacts reports whether records are removed that a later one of the same
// key replaced.
func (p CleanupPolicy) Compacts() bool { return p == Compact || p == CompactDelete }

// String returns Kafka's spelling, and "default" for the zero value.
func (p CleanupPolicy) String() string { return enumString(cleanupPolicyNames, p) }

// MarshalText returns String, or a *ConfigError for a value that is none of
// the policies.
func (p CleanupPolicy) MarshalText() ([]byte, error) {
	return enumMarshal("cleanup.policy", cleanupPolicyNames, p)
}

// UnmarshalText accepts what MarshalText returns.
func (p *CleanupPolicy) UnmarshalText(text []byte) error {
	return enumUnmarshal("cleanup.policy", cleanupPolicyNames, p, text)
}
