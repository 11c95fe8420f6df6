// Package coordinator is the group coordinator: it decides who is in a consumer
// group, which member reads which partitions, and keeps the offsets that groups
// have committed. It runs on the node that leads the group's partition of
// __consumer_offsets, for the partitions of that topic that the node leads.
//
// # Nouns
//
// A [Coordinator] serves groups. A group lives in one partition of
// __consumer_offsets ([Coordinator.PartitionFor]), the group partition. Its members
// use one of two protocols, all the same one; a group without members becomes one of
// the protocol that is used next, and keeps its offsets.
//
// In KIP-848's protocol a member joins a group by its first [Coordinator.Heartbeat] and
// is told there what it may read: the coordinator assigns and each member moves at its
// own pace.
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
// In the classic protocol the group moves as one, and a member, the leader, assigns:
//
//   - A member joins by [Coordinator.JoinGroup], which waits for the others. Then there
//     is a new generation: its members, and a protocol that all of them support, do not
//     change any more.
//   - The leader is told all members and what they said of themselves. It assigns, and
//     hands that in with [Coordinator.SyncGroup]; the others get their part by the same
//     call, which waits for the leader.
//   - [Coordinator.ClassicHeartbeat] keeps a member alive and tells it when to join
//     again: when somebody comes, goes ([Coordinator.LeaveGroup], or its session ran
//     out) or wants something else.
//   - The generation fences: whoever comes with another one is refused.
//   - A static member (group.instance.id) that restarts takes the place of its former
//     process, without a rebalance if it wants what it wanted before.
//
// # Guarantees
//
// What a call answers is durable (but for a classic generation that is still forming,
// of which more below): a change is appended to the group partition and
// synced before anybody sees it. Requests of a group partition are serial, and all
// that arrive while an append is under way share the next one. If an append fails,
// everything that was decided with it is forgotten and the partition is read anew:
// what the log holds is what was true.
//
// Everything durable is in the log. After a take-over [Log.Replay] gives the same
// groups, members, epochs, assignments and offsets; the time-outs start anew. A classic
// group is written when the leader hands the assignment in, before anybody gets his
// part, and when it becomes empty. A generation that was still forming is forgotten:
// the one before goes on, and those who wait are told to find the coordinator. Nobody
// can have committed with the forgotten one.
//
// A classic generation has one assignment, and there is one at a time: a commit with
// another is refused, and so is one before the assignment is there.
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
// Members of the two protocols do not mix: a live group is not moved from the classic
// protocol to KIP-848's member by member, it has to be empty for a moment. A classic
// member that was removed while the next generation was forming is back if the
// coordinator moves before that generation is written, until its session runs out. The
// number of a forgotten generation is used again. A classic group's subscriptions and
// assignments are read only if its protocol type is consumer and they are in the
// consumer's own format.
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
//	2  group string                           GroupMetadataValue, version 3 (the classic protocol):
//	                                            protocolType string, generation int32,
//	                                            protocol string?, leader string?, currentStateTimestamp int64,
//	                                            members array (int32 count) of: memberId string,
//	                                            instanceId string?, clientId string, clientHost string,
//	                                            rebalanceTimeout int32, sessionTimeout int32 (ms),
//	                                            subscription bytes, assignment bytes (int32 length)
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
// versions of OffsetCommitValue and GroupMetadataValue (0 to 4) are read too. Keys 4 and
// those above 8 are passed over; a known one that cannot be decoded is a
// [CorruptError], and the partition is not served. Bytes of each are in
// testdata/records.
//
// # Bytes and concurrency
//
// Requests are not kept or changed, answers belong to the caller. All methods may be
// called concurrently. JoinGroup and SyncGroup wait in their callers, one of each per
// member: a second ends the first. Goroutines: one per loaded partition, ended by Unload
// and Close, which wait for it.
package coordinator
