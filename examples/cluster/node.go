package main

import (
	"context"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/signal"
	"time"
)

// Node is what can be asked of a process: the service's calls, as JSON-RPC on its
// standard input and output.
type Node struct {
	*service
}

// None stands for no arguments, and no result.
type None struct{}

// Open makes the process a node. It is the first call.
func (n *Node) Open(cfg NodeConfig, _ *None) (err error) {
	n.service, err = open(context.Background(), &cfg)
	return err
}

// CreateTopic makes the topic.
func (n *Node) CreateTopic(None, *None) error { return n.createTopic(context.Background()) }

// Leaders waits until each partition has a leader other than a node, and returns them.
func (n *Node) Leaders(not uint64, leaders *[]uint64) (err error) {
	*leaders, err = n.leaders(context.Background(), not)
	return err
}

// Publish produces all lines.
func (n *Node) Publish(lasting time.Duration, p *Published) (err error) {
	*p, err = n.publish(context.Background(), lasting)
	return err
}

// AwaitAcked waits until a share of the lines is acknowledged.
func (n *Node) AwaitAcked(share float64, _ *None) error {
	total := newLedger(n.files).total
	return n.acks.await(int(share * float64(total)))
}

// Consume reads all lines.
func (n *Node) Consume(_ None, c *Consumed) (err error) {
	*c, err = n.consume(context.Background())
	return err
}

// Drain moves all that a node has to others.
func (n *Node) Drain(node uint64, _ *None) error {
	return n.log.DrainNode(context.Background(), node)
}

// Remove takes a drained node out of the cluster.
func (n *Node) Remove(node uint64, _ *None) error {
	return n.log.RemoveNode(context.Background(), node)
}

// Close closes the log.
func (n *Node) Close(None, *None) error { return n.log.Close() }

// serve answers calls until there are no more.
func serve() error {
	signal.Ignore(os.Interrupt) // a terminal sends it to all; the parent decides
	server := rpc.NewServer()
	if err := server.Register(&Node{}); err != nil {
		return err
	}
	server.ServeCodec(jsonrpc.NewServerCodec(stdio{}))
	return nil
}

// stdio is the connection of a process to the one that started it.
type stdio struct{}

// Read ends the process when the input ends: the parent has closed it, or is gone,
// whatever is under way here.
func (stdio) Read(b []byte) (int, error) {
	n, err := os.Stdin.Read(b)
	if err != nil {
		os.Exit(0)
	}
	return n, nil
}

func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { return nil }
