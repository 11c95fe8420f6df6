// Package peer sends requests to other nodes of a cluster, over Kafka's protocol and
// to the address that their clients use: one protocol, one set of certificates.
//
// # Nouns
//
// A [Pool] knows where nodes are and holds the connections to them. A [Call] is a
// request that was started. The methods of Pool that are named after an API of Kafka
// make a request of plain values and errors of the codes in the answer; Do and
// Forward send any request of package kmsg.
//
// # Guarantees
//
//   - Requests of a connection are pipelined: each is sent without waiting for the
//     answers to those before. Produces to one partition take one connection, in the
//     order of their starts; other short requests have connections beside these. A
//     request that may wait at the peer (Fetch, JoinGroup, SyncGroup) has one to
//     itself meanwhile, so that it holds up no others.
//   - A connection is made when there is a request for it, with a pause that doubles
//     after each attempt that failed. Requests that wait for an attempt fail with it;
//     those that come later wait for the next. An idle one is closed.
//   - The versions that a peer serves are asked for on each connection. A request goes
//     out in the highest that both sides have, so that nodes of several versions of
//     leat work together while a cluster is upgraded.
//   - A request is not sent again. An error says whether it may have been carried out
//     ([Sent]), and each has Retriable() bool where that may help.
//   - What a peer sends is bounded before it is allocated: an answer by
//     Config.MaxResponseBytes, its memory grows as its bytes arrive, and its counts
//     are checked before it is decoded. An answer that is not Kafka's protocol, not
//     in order or too late ends the connection.
//   - Every wait ends with the caller's context or with Close.
//
// # Caveats
//
// A connection on which some request is not answered fails all that are in line on it.
// Whether the node at an address is the one that is meant is for TLS to say.
//
// # Bytes
//
// A request and its batches are read until Wait returned; a call whose Wait was ended
// by its context has read them. The answer belongs to the caller.
package peer
