package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// nodesMax is how many nodes there are in all.
const nodesMax = 4

// cluster is the processes of the service. It is used by one goroutine at a time.
type cluster struct {
	dir     string // with a directory for each node
	verbose bool
	addrs   []string // two for each node
	began   time.Time
	nodes   map[uint64]*process // that run
}

func newCluster(verbose bool) (*cluster, error) {
	addrs, err := freeAddrs(2 * nodesMax)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "leat-cluster")
	if err != nil {
		return nil, err
	}
	return &cluster{dir: dir, verbose: verbose, addrs: addrs, began: time.Now(), nodes: make(map[uint64]*process)}, nil
}

// freeAddrs returns loopback addresses that nobody listens on.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // when there are n, so that they differ
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// start starts a node, or starts it again in its directory.
func (c *cluster) start(ctx context.Context, node uint64, join bool) (*process, error) {
	cfg := NodeConfig{
		Dir:     filepath.Join(c.dir, strconv.FormatUint(node, 10)),
		Node:    node,
		Raft:    c.addrs[2*node-2],
		Client:  c.addrs[2*node-1],
		Seeds:   make(map[uint64]string),
		Join:    join,
		Verbose: c.verbose,
	}
	for seed := range uint64(3) {
		cfg.Seeds[seed+1] = c.addrs[2*seed]
	}
	return start(ctx, cfg)
}

// startFirst starts the nodes that form the cluster, which wait for each other.
func (c *cluster) startFirst(ctx context.Context) error {
	var processes [3]*process
	starts, ctx := errgroup.WithContext(ctx) // one that fails ends the wait of the others
	for i := range processes {
		starts.Go(func() (err error) {
			processes[i], err = c.start(ctx, uint64(i+1), false)
			return err
		})
	}
	err := starts.Wait()
	for i, p := range processes {
		if p != nil {
			c.nodes[uint64(i+1)] = p
		}
	}
	return err
}

// close stops the processes and removes their directories.
func (c *cluster) close() error {
	var wg sync.WaitGroup
	for _, p := range c.nodes {
		wg.Go(p.kill)
	}
	wg.Wait()
	return os.RemoveAll(c.dir)
}

// tell says on stderr what happens.
func (c *cluster) tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.2fs %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}
