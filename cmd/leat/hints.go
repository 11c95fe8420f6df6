package main

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hints is what can be done about an error of Kafka's protocol.
var hints = []struct {
	err  error
	hint string
}{
	{kerr.UnknownTopicOrPartition, "\"leat topic list\" shows the topics, \"leat topic create\" makes one"},
	{kerr.TopicAlreadyExists, "--if-not-exists accepts that"},
	{kerr.InvalidReplicationFactor, "--replication-factor must not exceed the number of brokers, see \"leat cluster status\""},
	{kerr.InvalidConfig, "\"leat topic describe\" shows the properties that a topic has"},
	{kerr.NonEmptyGroup, "stop the members of the group first, see \"leat group describe\""},
	{kerr.GroupIDNotFound, "\"leat group list\" shows the groups"},
	{kerr.UnknownMemberID, "the group has members: stop them first, see \"leat group describe\""},
	{kerr.MessageTooLarge, "the topic's max.message.bytes says how large a batch may be; \"leat topic alter --config max.message.bytes=...\" changes it"},
	{kerr.UnsupportedVersion, "the brokers do not serve this; a newer version of them may"},
	{kerr.NotEnoughReplicas, "too few replicas are in sync for min.insync.replicas, see \"leat cluster status\""},
	{kerr.ClusterAuthorizationFailed, "the brokers do not allow this client to do that"},
	{kerr.TopicAuthorizationFailed, "the brokers do not allow this client to do that"},
	{kerr.GroupAuthorizationFailed, "the brokers do not allow this client to do that"},
	{kgo.ErrRecordTimeout, "--timeout waits longer; \"leat cluster status\" shows whether the partitions have leaders"},
}

// hintOf returns what can be done about an error, "" if nothing is known.
func hintOf(err error) string {
	var h *hintError
	if errors.As(err, &h) {
		return h.hint
	}
	for _, h := range hints {
		if errors.Is(err, h.err) {
			return h.hint
		}
	}
	return ""
}

// about says what an error of a broker is about, with the broker's message if it has
// one. It returns nil for nil.
func about(err error, message, format string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case message != "":
		return fmt.Errorf("%s: %w (%s)", fmt.Sprintf(format, args...), err, message)
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
