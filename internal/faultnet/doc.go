// Package faultnet is a network inside of one process, for tests: its
// connections can be cut, slowed and broken while the test runs.
//
//	n := faultnet.New(seed)
//	l, err := n.Node("node1").Listen("node1:9001")
//	c, err := n.Node("node2").Dial(ctx, "node1:9001")
//	n.CutOneWay("node1", "node2") // what node1 writes no longer arrives
//	n.Heal()                      // now it does
//
// A Node is one machine. Its name is the host part of its addresses; no port of
// the operating system is used. Every connection leads from one Node to another,
// and its two directions pass two links, each with Conditions of its own:
// latency, jitter, bandwidth, and the chance that a write breaks the connection.
// A link may also be cut.
//
// # What a connection does
//
// A connection is like one of TCP. What is written arrives once, in order, or
// the connection ends. Each direction has a bounded buffer: a writer whose
// reader does not read waits. Deadlines, half close (CloseWrite) and Close beside
// Read and Write work as the net package says. An error is a *net.OpError around
// net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET or syscall.EPIPE.
//
// A cut link is a black hole, as a network that lost its way: nobody is told.
// Writers fill the buffer and wait; readers wait; a close or a break on one side
// is not learned on the other; a Dial waits for its context. When the link is
// healed, what was under way arrives, as TCP's retransmissions would. To have
// connections end too, call Reset. Messages are not lost out of the middle of a
// connection, doubled or reordered: no TCP connection does that either.
//
// A program under test takes a Process of its Node for its network. Node.Crash is
// what peers see of a process that is killed. A machine that loses
// its power answers nobody: isolate it before the crash, and rejoin it when it
// is back, and its peers will learn of it only then.
//
// # Time and chance
//
// Delays are measured with the time package, so that a bubble of
// testing/synctest covers them. The package starts no goroutine. What it draws
// (jitter, breaks) comes from the seed in the order of the writes; goroutines
// that race for the network make runs with one seed similar, not equal.
//
// Everything may be called from several goroutines at once.
package faultnet
