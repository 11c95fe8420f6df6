package leat

import (
	"context"
	"errors"
	"fmt"

	"github.com/leatlog/leat/replication"
)

// clusterListener serves the node's client address, for Kafka's clients and for the
// requests of other nodes.
type clusterListener struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error         // of serving, set before done is closed
}

// listenForClients takes the client address. What comes there waits until it is served.
func (c *cluster) listenForClients() (err error) {
	network := c.log.cfg.Machine.Network
	if network == nil {
		network = replication.TCP{}
	}
	if c.clients, err = network.Listen(c.cfg.ClientListen); err != nil {
		return fmt.Errorf("leat: node %d cannot listen for clients: %w", c.self, err)
	}
	return nil
}

// serveClients takes requests at the client address, until the node closes.
func (c *cluster) serveClients() error {
	opts := []KafkaOption{WithKafkaAdvertised(c.cfg.ClientAddr)}
	if c.cfg.TLS != nil {
		cfg, err := c.cfg.TLS()
		if err != nil {
			return fmt.Errorf("leat: Config.Cluster.TLS: %w", err)
		}
		opts = append(opts, WithKafkaTLS(reloadingTLS(cfg, c.cfg.TLS)))
	}
	if c.cfg.Insecure {
		opts = append(opts, WithKafkaInsecure())
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &clusterListener{cancel: cancel, done: make(chan struct{})}
	go func() { // close waits for it
		defer close(l.done)
		if l.err = c.log.ServeKafka(ctx, c.clients, append(opts, c.cfg.Kafka...)...); errors.Is(l.err, ErrClosed) {
			l.err = nil
		}
	}()
	c.listener = l
	c.serving.Store(true)
	for _, sh := range c.shards.all() {
		sh.kick()
	}
	return nil
}

func (l *clusterListener) close() error {
	l.cancel()
	<-l.done
	return l.err
}
