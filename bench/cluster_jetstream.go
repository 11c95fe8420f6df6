package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetStreamCluster is three NATS servers with JetStream inside this process. A
// partition is a stream of three replicas with one subject.
func jetStreamCluster(syncAlways bool) System {
	s := jetStream(syncAlways)
	s.Open = func(ctx context.Context, cfg Config) (Instance, error) {
		return openJetStreamCluster(ctx, cfg, syncAlways)
	}
	return s
}

// jetStreamClusterInstance uses the first server as jetStreamInstance uses its one.
type jetStreamClusterInstance struct {
	*jetStreamInstance
	servers []*server.Server
}

func openJetStreamCluster(ctx context.Context, cfg Config, syncAlways bool) (_ Instance, err error) {
	addrs, err := freeAddrs(clusterNodes)
	if err != nil {
		return nil, err
	}
	var routes []*url.URL
	for _, a := range addrs {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: a})
	}
	in := &jetStreamClusterInstance{}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Close())
		}
	}()
	for i, route := range routes {
		dir, err := nodeDir(cfg.Dir, i+1)
		if err != nil {
			return nil, err
		}
		port, err := strconv.Atoi(route.Port())
		if err != nil {
			return nil, err
		}
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("bench%d", i+1),
			Host:       "127.0.0.1",
			Port:       server.RANDOM_PORT,
			Cluster:    server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: port},
			Routes:     routes,
			JetStream:  true,
			StoreDir:   dir,
			SyncAlways: syncAlways,
			NoLog:      true,
			NoSigs:     true,
		})
		if err != nil {
			return nil, err
		}
		s.Start()
		in.servers = append(in.servers, s)
	}
	in.jetStreamInstance = &jetStreamInstance{server: in.servers[0], partitions: cfg.Partitions}
	ctx, cancel := context.WithTimeout(ctx, 4*jetStreamPatience)
	defer cancel()
	for _, s := range in.servers {
		if !s.ReadyForConnections(jetStreamPatience) {
			return nil, errors.New("jetstream: the server took no connections in time")
		}
	}
	if err := in.awaitPeers(ctx); err != nil {
		return nil, err
	}
	nc, js, err := in.connect()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	for i := range cfg.Partitions {
		if err := createReplicated(ctx, js, i); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// awaitPeers returns when the servers have a leader that knows them all.
func (in *jetStreamClusterInstance) awaitPeers(ctx context.Context) error {
	for {
		for _, s := range in.servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(in.servers) {
				return nil
			}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("jetstream: the servers did not form a cluster: %w", err)
		}
	}
}

// createReplicated makes a stream of three replicas. Right after the cluster was
// formed, there may be no room for one yet.
func createReplicated(ctx context.Context, js jetstream.JetStream, partition int) error {
	for {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name:     jetStreamName(partition),
			Subjects: []string{jetStreamSubject(partition)},
			Storage:  jetstream.FileStorage,
			Replicas: clusterNodes,
		})
		var refused *jetstream.APIError
		if err == nil {
			return nil
		}
		if !errors.As(err, &refused) {
			return fmt.Errorf("jetstream: stream %d: %w", partition, err)
		}
		if pauseErr := pause(ctx); pauseErr != nil {
			return fmt.Errorf("jetstream: stream %d: %w", partition, errors.Join(err, pauseErr))
		}
	}
}

// NewSyncProducer gives the writers a connection to each server, in turn; writer i
// publishes to stream i modulo their number.
func (in *jetStreamClusterInstance) NewSyncProducer(context.Context, int) (SyncProducer, error) {
	p := &jetStreamClusterSyncProducer{}
	for _, s := range in.servers {
		nc, err := nats.Connect(s.ClientURL())
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(jetStreamPatience))
		if err != nil {
			nc.Close()
			return nil, errors.Join(err, p.Close())
		}
		p.each = append(p.each, &jetStreamSyncProducer{conn: nc, js: js, subjects: in.subjects()})
	}
	return p, nil
}

func (in *jetStreamClusterInstance) Close() error {
	for _, s := range in.servers {
		s.Shutdown()
	}
	for _, s := range in.servers {
		s.WaitForShutdown()
	}
	return nil
}

type jetStreamClusterSyncProducer struct{ each []*jetStreamSyncProducer }

func (p *jetStreamClusterSyncProducer) SendSync(ctx context.Context, writer int, value []byte) error {
	return p.each[writer%len(p.each)].SendSync(ctx, writer, value)
}

func (p *jetStreamClusterSyncProducer) Close() error {
	var errs []error
	for _, one := range p.each {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
