package main

import (
	"context"
	"fmt"
	"strconv"

	fake "github.com/twmb/franz-go/pkg/kfake"
)

// serveKfake is the argument by which this program serves as kfake: a port and,
// if it is to keep its data, a directory follow.
const serveKfake = "serve-kfake"

// kfake is franz-go's Kafka for tests, in memory or with an fsync for each batch.
func kfake(fsync bool) system {
	s := system{name: "kfake"}
	if fsync {
		s.name = "kfake-fsync"
	}
	s.command = func(w *workshop, dir string, port int) []string {
		args := []string{w.self, serveKfake, strconv.Itoa(port)}
		if fsync {
			args = append(args, dir)
		}
		return args
	}
	return s
}

// runKfake serves until ctx ends. args are the port and perhaps a directory.
func runKfake(ctx context.Context, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return fmt.Errorf("%s takes a port and perhaps a directory", serveKfake)
	}
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	opts := []fake.Opt{fake.NumBrokers(1), fake.Ports(port)}
	if len(args) == 2 {
		opts = append(opts, fake.DataDir(args[1]), fake.SyncWrites())
	}
	c, err := fake.NewCluster(opts...)
	if err != nil {
		return err
	}
	<-ctx.Done()
	c.Close()
	return nil
}
