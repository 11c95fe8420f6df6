// Package coordinator is the group coordinator: it decides who is in a consumer
// group, which member reads which partitions, and keeps the offsets that groups
// have committed. It runs on the node that leads the group's partition of
// __consumer_offsets, for the partitions of that topic that the node leads.
//
// # Nouns
//
// A [Coordinator] serves groups. A group lives in one partition of
// __consumer_offsets ([Coordinator.PartitionFor]), the group partition. A member
// joins a group by its first [Coordinator.Heartbeat] and is told there what it may
// read: KIP-848's protocol, in which the coordinator assigns and each member moves
// at its own pace.
//
//   - The group epoch grows with every change that asks for a new assignment: a
//     member comes, goes or subscribes to something else, a topic grows or is
//     deleted.
//   - The target assignment is what all members are to have; the assignment epoch
//     is the group epoch that it was made for.
//   - The member epoch is the assignment epoch that a member has arrived at. It
//     fences: heartbeats and commits with another one are refused.
//   - Reconciliation is the way of a member from what it has to its target. First
//     it gives up what others get, then it takes what is free. So at every moment a
//     partition has one owner at most.
//
// # Guarantees
//
// What a call answers is durable: a change is appended to the group partition and
// synced before anybody sees it. Requests of a group partition are serial, and all
// that arrive while an append is under way share the next one. If an append fails,
// everything that was decided with it is forgotten and the partition is read anew:
// what the log holds is what was true.
//
// Everything durable is in the log. After a take-over [Log.Replay] gives the same
// groups, members, epochs, assignments and offsets; the time-outs start anew.
//
// A commit by a member that is gone, or with an epoch that is not the member's, is
// refused whole. An offset that was committed for a topic never shows for another
// topic that got its name later.
//
// # Caveats
//
// Session and rebalance time-outs are counted by [Options.Clock] and checked when it
// fires and before each round of requests. Regular expressions as subscriptions are
// kept when replayed but not evaluated. A single change is one append: one of a
// group with thousands of members and topics can exceed Options.MaxBatchBytes.
//
// # The records
//
// Keys and values are Kafka's, so that its tools can read them. The first two bytes
// of a key say what the record is; those of a value are its version. Integers are
// big-endian; a string is an int16 length and the bytes; a compact one (c) has its
// length plus one as a varint, and 0 for null; a compact array likewise; tags is the
// list of tagged fields, mostly a zero byte.
//
//	key                                       value
//	1  group string, topic string,            OffsetCommitValue, version 3:
//	   partition int32                          offset int64, leaderEpoch int32, metadata string,
//	                                            commitTimestamp int64
//	                                          version 4 (the topic's id is known):
//	                                            offset int64, leaderEpoch int32, metadata c-string,
//	                                            commitTimestamp int64, tags {0: topicId uuid}
//	3  group string                           ConsumerGroupMetadataValue, version 0:
//	                                            epoch int32, tags {0: metadataHash int64,
//	                                            10000: emptySince int64}
//	5  group string, member string            ConsumerGroupMemberMetadataValue, version 0:
//	                                            instanceId c-string?, rackId c-string?, clientId c-string,
//	                                            clientHost c-string, topics c-array of c-string,
//	                                            regex c-string?, rebalanceTimeoutMs int32,
//	                                            serverAssignor c-string?, tags
//	6  group string                           ConsumerGroupTargetAssignmentMetadataValue, version 0:
//	                                            assignmentEpoch int32, tags
//	7  group string, member string            ConsumerGroupTargetAssignmentMemberValue, version 0:
//	                                            c-array of topics, tags
//	8  group string, member string            ConsumerGroupCurrentMemberAssignmentValue, version 0:
//	                                            memberEpoch int32, previousMemberEpoch int32, state int8,
//	                                            assigned c-array of topics, revoking c-array of topics, tags
//
//	topic: id uuid, partitions c-array of int32, tags
//
// The tag 10000 is ours, Kafka skips it: when the last member left, Unix
// milliseconds, which offsets.retention.minutes counts from. Key 0 and the other
// versions of OffsetCommitValue are read too. Keys 2 (the classic protocol's groups),
// 4 and those above 8 are passed over; a known one that cannot be decoded is a
// [CorruptError], and the partition is not served. Bytes of each are in
// testdata/records.
//
// # Bytes and concurrency
//
// Requests are not kept or changed, answers belong to the caller. All methods may be
// called concurrently. Goroutines: one per loaded partition, ended by Unload and
// Close, which wait for it.
package coordinator
