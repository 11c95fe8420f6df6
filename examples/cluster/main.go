// Cluster runs a small service as a cluster of processes, and breaks it while it
// works.
//
//	go run ./examples/cluster
//	go run ./examples/cluster -for 1m -v
//
// The program starts itself three times more: each process is the service of
// service.go, with a directory and two loopback addresses of its own, and a node of one
// cluster. One of them publishes every line of every .go file below
// $(go env GOROOT)/src/net, keyed by the file's path, to a topic of six partitions, and
// consumes it at the same time. Half way, the process that leads the topic's first
// partition is killed, as kill -9 does it, and started again; a fourth process joins;
// another one is drained, removed and stopped. At the end the fourth, which was not
// there for most of it, consumes everything from the start.
//
// The steps are told on stderr. The last line says what was found:
//
//   - produced and acked are the lines handed to the producer, and acknowledged by the
//     cluster; consumed are different records that the fourth node consumed.
//   - lost, duplicated and misordered count over both consumers: lines that did not
//     come, records that came twice, and lines that are not the next of their file.
//   - failovers counts the partitions that lost their leader to the kill and got
//     another.
//   - unavailable_max is the longest time in which a partition had records to
//     acknowledge and acknowledged none.
//
// The exit status is 0 only if all of it is right.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

const (
	topicName  = "cluster-lines"
	partitions = 6
	replicas   = 3
)

func main() {
	node := flag.Bool("node", false, "serve the calls on standard input; the program starts itself with this")
	lasting := flag.Duration("for", 16*time.Second, "how long publishing takes if nothing is in its way")
	verbose := flag.Bool("v", false, "show what the nodes log")
	flag.Parse()
	var err error
	if *node {
		err = serve()
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err = run(ctx, *lasting, *verbose)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}
