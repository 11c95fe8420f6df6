package leat

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// TopicID is a topic's unique id; a topic that is deleted and created anew gets
// another (KIP-516).
type TopicID [16]byte

// String returns the id as Kafka's tools print it.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText returns String.
func (id TopicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what String returned.
func (id *TopicID) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(id) {
		return fmt.Errorf("topic id %s is not 16 bytes in base64", quoteShort(string(text)))
	}
	copy(id[:], b)
	return nil
}

func newTopicID() (id TopicID) {
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	return id
}
