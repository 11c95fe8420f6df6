// The command node is a node of a cluster for clients to be run against: a Log and its
// listener for Kafka's clients, until SIGTERM. It prints a line when clients can connect.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/leatlog/leat"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	cluster := &leat.ClusterConfig{Seeds: make(map[uint64]string)}
	var dir string
	f := flag.NewFlagSet("node", flag.ContinueOnError)
	f.StringVar(&dir, "dir", "", "`directory` of the log")
	f.Uint64Var(&cluster.NodeID, "id", 0, "`number` of the node")
	f.StringVar(&cluster.ClientAddr, "listen", "", "`host:port` for clients")
	f.Func("seeds", "`id=host:port,...` of the nodes that form the cluster", func(s string) error {
		for seed := range strings.SplitSeq(s, ",") {
			id, addr, _ := strings.Cut(seed, "=")
			n, err := strconv.ParseUint(id, 10, 64)
			if err != nil {
				return err
			}
			cluster.Seeds[n] = addr
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	cluster.RaftAddr = cluster.Seeds[cluster.NodeID]
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	log, err := leat.Open(ctx, leat.Config{Dir: dir, Cluster: cluster, AutoCreateTopics: true, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	fmt.Printf("{\"listen\":%q}\n", cluster.ClientAddr)
	<-ctx.Done()
	return nil
}
