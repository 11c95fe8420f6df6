package leat

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

var (
	// ErrInvalidConfig is what every *ConfigError is, for errors.Is.
	ErrInvalidConfig = errors.New("leat: invalid config")

	// ErrUnusedProperty is what a *ConfigError also is when the property is one
	// that Kafka knows and leat has no use for, such as segment.bytes. Who
	// takes configs over from Kafka may skip these and go on.
	ErrUnusedProperty = errors.New("leat: property without a use in leat")
)

// ConfigError says which setting was refused and what would have been
// accepted. It is ErrInvalidConfig for errors.Is.
type ConfigError struct {
	// Property is Kafka's name of the setting where it has one, such as
	// retention.ms, else the Go field's.
	Property string
	// Value is the refused value as text.
	Value string
	// Rule completes the sentence "Property must ...", except for a property
	// that is unknown or unused, where it is a sentence of its own.
	Rule string

	unused bool
}

// Error tells the property, the value (cut when long) and the rule.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("%v: %s = %s: %s", ErrInvalidConfig, quoteShort(e.Property), quoteShort(e.Value), e.Rule)
}

// Is reports true for ErrInvalidConfig, and for ErrUnusedProperty where it
// applies.
func (e *ConfigError) Is(target error) bool {
	return target == ErrInvalidConfig || (e.unused && target == ErrUnusedProperty)
}

// quotedBytesMax bounds how much of a value from outside an error message
// repeats.
const quotedBytesMax = 64

// quoteShort quotes s for an error message and cuts it at quotedBytesMax bytes,
// between two characters.
func quoteShort(s string) string {
	if len(s) <= quotedBytesMax {
		return fmt.Sprintf("%q", s)
	}
	end := quotedBytesMax
	for end > quotedBytesMax-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%q... (%d bytes)", s[:end], len(s))
}
