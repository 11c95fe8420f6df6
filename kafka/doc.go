// Package kafka is the listener for Kafka's protocol: existing clients and tools,
// in any language, reach a Log through it. A program does not use this package
// itself but calls ServeKafka of its Log.
//
// # Nouns
//
// A [Server] serves the connections of one listener. A frame is a request with its
// length; each API has a file of its own, named after it. The [Backend] is what is
// behind the listener: topics, appends and the group coordinator of the Log. Nothing
// is implemented twice: record batches go to the store and come back as the bytes
// that they are.
//
// # Guarantees
//
//   - A connection that waits, for a request or within a Fetch, has one goroutine and no
//     buffer.
//   - Answers of a connection come in the order of its requests, and its appends
//     reach a partition in that order too. Up to [Limits].InFlight requests of a
//     connection are under way at a time; after that it is not read from.
//   - What a stranger sends is bounded before it is allocated. Memory for a frame
//     grows as its bytes arrive, never by what its length says. The counts of arrays
//     and tagged fields are checked against the bytes that are there before the frame
//     is decoded. All frames together stay below [Limits].MemoryBytes, and so do all
//     answers; who does not fit waits, and is closed after [Limits].RequestTimeout.
//   - A fetch session ends with the connection that used it last. All of them together
//     have [Limits].FetchSessions and FetchSessionPartitions.
//   - A connection that is slow to send a request, slow to read its answers, or idle
//     is closed. So is one whose bytes are not Kafka's protocol.
//   - Serve returns when every connection and every goroutine of it has ended.
//
// # Caveats
//
// There is no authentication but that of TLS and there are no ACLs: whoever can
// connect may do everything. Transactions and quotas are not served.
// docs/kafka-protocol.md lists each API with its versions.
//
// # Bytes
//
// A produced batch is given to the store together with its frame, or as a copy
// where it is a small part of the frame. What is fetched is written from the
// store's memory.
package kafka
