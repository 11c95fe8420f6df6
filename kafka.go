package leat

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/leatlog/leat/kafka"
)

// ErrInsecureListener is returned by ServeKafka for a listener that other machines
// can reach, without WithKafkaTLS and without WithKafkaInsecure.
var ErrInsecureListener = kafka.ErrInsecure

// KafkaLimits bound what the clients of ServeKafka can make a Log use. Zero values
// are the defaults.
type KafkaLimits = kafka.Limits

// KafkaOption is an option of ServeKafka.
type KafkaOption func(*kafka.Options)

// WithKafkaTLS makes clients use TLS. The config is not changed, and must not be while
// it is in use; with its ClientAuth clients have to show a certificate.
func WithKafkaTLS(cfg *tls.Config) KafkaOption {
	return func(o *kafka.Options) { o.TLS = cfg }
}

// WithKafkaInsecure allows a listener that other machines can reach without TLS. Whoever
// can connect can then read, write and delete everything.
func WithKafkaInsecure() KafkaOption {
	return func(o *kafka.Options) { o.Insecure = true }
}

// WithKafkaAdvertised says which host:port clients are told to connect to
// (advertised.listeners). The default is the listener's address; if that stands for
// all addresses of the machine, the one that the client reached.
func WithKafkaAdvertised(addr string) KafkaOption {
	return func(o *kafka.Options) { o.Advertised = addr }
}

// WithKafkaLimits bounds what clients can make the Log use.
func WithKafkaLimits(l KafkaLimits) KafkaOption {
	return func(o *kafka.Options) { o.Limits = l }
}

// ServeKafka lets Kafka's clients and tools use the Log through a listener, until
// ctx ends or the Log is closed; it returns when every connection has ended, nil in
// the first case and ErrClosed in the second. It closes the listener in any case.
// Several listeners may be served at a time.
//
// A listener on another than a loopback address needs WithKafkaTLS, which may ask
// clients for certificates, or WithKafkaInsecure. There is no other authentication and
// no authorization: who can connect may do everything. docs/kafka-protocol.md lists
// the APIs and versions that are served.
//
// The error is ErrInsecureListener, one about an option, or the listener's.
func (l *Log) ServeKafka(ctx context.Context, ln net.Listener, opts ...KafkaOption) error {
	if ln == nil {
		if err := l.begin(ctx); err != nil {
			return err
		}
		l.end()
		return errors.New("leat: ServeKafka: the listener is nil")
	}
	s, err := l.newKafkaServer(ctx, opts)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	defer l.release(s)
	defer close(s.ended)
	err = s.server.Serve(ctx, ln)
	if err == nil && ctx.Err() == nil {
		err = ErrClosed
	}
	return err
}

// kafkaServer is a listener that is closed with its Log.
type kafkaServer struct {
	server *kafka.Server
	ended  chan struct{} // closed by ServeKafka when Serve has returned
}

var _ child = (*kafkaServer)(nil)

func (s *kafkaServer) closeWithLog() error {
	s.server.Close()
	<-s.ended
	return nil
}

func (l *Log) newKafkaServer(ctx context.Context, opts []KafkaOption) (*kafkaServer, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.end()
	id, err := l.catalog.store.clusterID(ctx)
	if err != nil {
		return nil, l.mapError(err)
	}
	o := kafka.Options{Logger: l.cfg.Logger}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	cluster := kafka.Cluster{ID: id, Controller: standaloneNode, Nodes: []kafka.Node{{ID: standaloneNode}}}
	o.Meter = l.kafkaMeter()
	server, err := kafka.NewServer(&kafkaBackend{log: l, cluster: cluster}, o)
	if err != nil {
		return nil, fmt.Errorf("leat: %w", err)
	}
	s := &kafkaServer{server: server, ended: make(chan struct{})}
	return s, l.adopt(s)
}
