package leat

import (
	"math"
	"strings"
	"unicode/utf8"
)

const (
	// topicNameBytesMax is Kafka's limit: with a partition number behind it,
	// such a name was still a file name.
	topicNameBytesMax = 249

	// groupIDBytesMax is what Kafka's protocol can carry in a string.
	groupIDBytesMax = math.MaxInt16

	// internalPrefix begins the names of the library's own topics, such as
	// __consumer_offsets.
	internalPrefix = "__"
)

// validateTopicName checks name against Kafka's rules for topic names, and
// returns a *InvalidNameError for one that breaks them. Internal topics pass.
//
// Kafka's tools refuse a topic whose name differs from another's only by '.'
// and '_', since its metrics write the one for the other. Nothing in leat does,
// so "a.b" and "a_b" are two topics here; who mirrors to Kafka avoids the pair.
func validateTopicName(name string) error {
	rule := ""
	switch {
	case name == "":
		rule = "must not be empty"
	case len(name) > topicNameBytesMax:
		rule = "must not be longer than 249 characters"
	case name == "." || name == "..":
		rule = `must not be "." or ".."`
	case strings.IndexFunc(name, notInTopicName) >= 0:
		rule = "must hold only the ASCII letters and digits, '.', '_' and '-'"
	default:
		return nil
	}
	return &InvalidNameError{Kind: "topic", Name: name, Rule: rule}
}

// validateNewTopicName is validateTopicName for a topic that a user creates:
// the names that begin with "__" are the library's.
func validateNewTopicName(name string) error {
	if err := validateTopicName(name); err != nil {
		return err
	}
	if isInternalTopic(name) {
		return &InvalidNameError{Kind: "topic", Name: name, Rule: `must not begin with "__", which is kept for internal topics`}
	}
	return nil
}

// isInternalTopic reports whether name is one of the library's own.
func isInternalTopic(name string) bool { return strings.HasPrefix(name, internalPrefix) }

// refuseInternal returns a *InvalidNameError for a topic of the library's own, to
// which no program may do what rule says.
func refuseInternal(name, rule string) error {
	if !isInternalTopic(name) {
		return nil
	}
	return &InvalidNameError{Kind: "topic", Name: name, Rule: "is the library's own and " + rule}
}

func notInTopicName(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return r != '.' && r != '_' && r != '-'
}

// validateGroupID checks the name of a consumer group. Kafka leaves it nearly
// free; it must fit a string of the protocol.
func validateGroupID(id string) error {
	rule := ""
	switch {
	case id == "":
		rule = "must not be empty"
	case len(id) > groupIDBytesMax:
		rule = "must not be longer than 32767 bytes"
	case !utf8.ValidString(id):
		rule = "must be valid UTF-8"
	case strings.IndexByte(id, 0) >= 0:
		rule = "must not hold a NUL"
	default:
		return nil
	}
	return &InvalidNameError{Kind: "group", Name: id, Rule: rule}
}
