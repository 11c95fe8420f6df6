// Package assignor decides which member of a consumer group reads which
// partitions. Every assignor is a pure function of its input: no clock, no
// randomness, no order of a map shows in the result, so two coordinators that
// see the same group agree.
//
// # Nouns
//
// A [Member] is one consumer with its subscribed topics and what it owns now.
// A [Partitions] is a set of partitions by topic, each list ascending. An
// [Assignment] gives each member its Partitions; every member has an entry, if
// need be an empty one.
//
// # The assignors
//
//	name                where it runs            balance             moves on a change
//	range               client and server side   per topic           many
//	roundrobin          client and server side   over all topics     many
//	sticky              client side              over all topics     the fewest
//	cooperative-sticky  client side, KIP-429     over all topics     the fewest, in two steps
//	uniform             server side, KIP-848     over all topics     the fewest
//
// All of them give each partition of a topic that somebody subscribes to, to
// exactly one of its subscribers; cooperative-sticky alone holds back, for one
// round, a partition that its owner has to let go of first.
//
// Where all members subscribe to the same topics, the balanced ones differ by
// one partition at most. Where they do not, no member can be relieved any more:
// there is no chain of hand-overs from a member to one that has two or more
// partitions less.
//
// # Bytes and concurrency
//
// The input is read and never kept or changed; what is returned belongs to the
// caller. The functions may run concurrently on the same input.
package assignor
