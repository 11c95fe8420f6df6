package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clusterNodes is how many nodes a cluster has; every topic is on all of them.
const clusterNodes = 3

// target is what clients are run against: one node, or a cluster.
type target struct {
	name  string
	nodes []*node
}

// targetKind makes targets of a kind, with their data below a directory.
type targetKind struct {
	name string
	make func(bin, dir string) (*target, error)
}

var targets = []targetKind{
	{"standalone", newStandalone},
	{"cluster", newCluster},
}

func newStandalone(bin, dir string) (*target, error) {
	dir = filepath.Join(dir, "standalone")
	n := &node{id: 1, log: dir + ".log", args: []string{bin, "serve", "--json", "--dir", dir, "--listen", "127.0.0.1:0"}}
	return &target{name: "standalone", nodes: []*node{n}}, nil
}

func newCluster(bin, dir string) (*target, error) {
	addrs, err := freeAddrs(2 * clusterNodes)
	if err != nil {
		return nil, err
	}
	var seeds []string
	for i := range clusterNodes {
		seeds = append(seeds, fmt.Sprintf("%d=%s", i+1, addrs[i]))
	}
	t := &target{name: "cluster"}
	for i := range clusterNodes {
		data := filepath.Join(dir, fmt.Sprintf("node%d", i+1))
		t.nodes = append(t.nodes, &node{id: int32(i + 1), log: data + ".log", args: []string{bin, "serve", "--json", "--dir", data,
			"--node-id", fmt.Sprint(i + 1), "--listen", addrs[clusterNodes+i], "--raft-listen", addrs[i], "--seeds", strings.Join(seeds, ",")}})
	}
	return t, nil
}

// freeAddrs returns loopback addresses that nobody listens on. They are below the ports
// that connections get, which might take one while its node is down.
func freeAddrs(n int) (addrs []string, err error) {
	for tries := 0; len(addrs) < n; tries++ {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		ln, lerr := net.Listen("tcp", addr)
		if lerr == nil {
			lerr = ln.Close()
		}
		switch {
		case lerr != nil && tries > 100:
			return nil, lerr
		case lerr == nil && !slices.Contains(addrs, addr):
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}

// bootstrap is where clients find the target: addresses with commas between them.
func (t *target) bootstrap() string {
	var addrs []string
	for _, n := range t.nodes {
		addrs = append(addrs, n.addr)
	}
	return strings.Join(addrs, ",")
}

// newClient connects to a target.
func newClient(bootstrap string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(bootstrap, ",")...))...)
}

func (t *target) replication() int { return len(t.nodes) }

// start starts the nodes, which wait for each other.
func (t *target) start() error {
	return t.each(func(n *node) error {
		if err := n.start(); err != nil {
			return err
		}
		return n.ready()
	})
}

// stop ends the nodes at the same time.
func (t *target) stop() error { return t.each((*node).stop) }

// kill ends those nodes that run, after a failure.
func (t *target) kill() error { return t.each((*node).kill) }

func (t *target) each(fn func(*node) error) error {
	errs := make([]error, len(t.nodes))
	var wg sync.WaitGroup
	for i, n := range t.nodes {
		wg.Go(func() { errs[i] = fn(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
