package bench

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// jetStreamPending bounds the publishes of a producer that are not yet
	// acknowledged. It is nats.go's default; four times as many were no faster.
	jetStreamPending = 4_000
	// jetStreamPull is how many messages a consumer asks for at a time.
	jetStreamPull = 8_192
	// jetStreamQueue bounds the messages that a Consumer holds between the
	// client's handler and Poll.
	jetStreamQueue = 8_192
	// jetStreamPatience is how long a server may take until it can be connected
	// to, and to answer a request: a thousand streams, each with its fsyncs, take
	// more than the client's 5 s at times.
	jetStreamPatience = 30 * time.Second
)

// jetStream is a NATS server with JetStream inside this process. A partition is
// a stream with file storage and one subject.
func jetStream(syncAlways bool) System {
	name := "jetstream"
	if syncAlways {
		name = "jetstream-fsync"
	}
	return System{
		Name:        name,
		Persistent:  true,
		SlowToFill:  syncAlways,
		Partitioned: true,
		Tails:       true,
		Open: func(ctx context.Context, cfg Config) (Instance, error) {
			return openJetStream(ctx, cfg, syncAlways)
		},
	}
}

type jetStreamInstance struct {
	server     *server.Server
	partitions int
}

func openJetStream(ctx context.Context, cfg Config, syncAlways bool) (_ Instance, err error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench",
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   cfg.Dir,
		SyncAlways: syncAlways,
		NoLog:      true,
		NoSigs:     true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	in := &jetStreamInstance{server: s, partitions: cfg.Partitions}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Close())
		}
	}()
	if !s.ReadyForConnections(jetStreamPatience) {
		return nil, errors.New("jetstream: the server took no connections in time")
	}
	nc, js, err := in.connect()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	for i := range cfg.Partitions {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name:     jetStreamName(i),
			Subjects: []string{jetStreamSubject(i)},
			Storage:  jetstream.FileStorage,
		})
		if err != nil {
			return nil, fmt.Errorf("jetstream: stream %d: %w", i, err)
		}
	}
	return in, nil
}

func jetStreamName(partition int) string    { return fmt.Sprintf("%s-%d", Topic, partition) }
func jetStreamSubject(partition int) string { return fmt.Sprintf("%s.%d", Topic, partition) }

func (in *jetStreamInstance) connect(opts ...jetstream.JetStreamOpt) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(in.server.ClientURL())
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, append(opts, jetstream.WithDefaultTimeout(jetStreamPatience))...)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

func (in *jetStreamInstance) NewProducer(context.Context, Goal) (Producer, error) {
	p := &jetStreamProducer{subjects: in.subjects()}
	nc, js, err := in.connect(
		jetstream.WithPublishAsyncMaxPending(jetStreamPending),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			p.failed.CompareAndSwap(nil, &err)
		}))
	if err != nil {
		return nil, err
	}
	p.conn, p.js = nc, js
	return p, nil
}

func (in *jetStreamInstance) subjects() []string {
	subjects := make([]string, in.partitions)
	for i := range subjects {
		subjects[i] = jetStreamSubject(i)
	}
	return subjects
}

func (in *jetStreamInstance) NewSyncProducer(context.Context, int) (SyncProducer, error) {
	nc, js, err := in.connect()
	if err != nil {
		return nil, err
	}
	return &jetStreamSyncProducer{conn: nc, js: js, subjects: in.subjects()}, nil
}

func (in *jetStreamInstance) NewConsumer(ctx context.Context) (Consumer, error) {
	nc, js, err := in.connect()
	if err != nil {
		return nil, err
	}
	c := &jetStreamConsumer{conn: nc, js: js, next: make([]uint64, in.partitions)}
	for i := range c.next {
		c.next[i] = 1
	}
	c.more, c.room = make(chan struct{}, 1), sync.NewCond(&c.mu)
	if err := c.Resume(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (in *jetStreamInstance) Close() error {
	in.server.Shutdown()
	in.server.WaitForShutdown()
	return nil
}

// jetStreamProducer publishes asynchronously over one connection, to the streams
// in turn or, with a key, to the stream that its hash chooses. The key itself is
// not sent: JetStream has none, and a header would only slow it down.
type jetStreamProducer struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	subjects []string
	turn     int
	failed   atomic.Pointer[error]
}

func (p *jetStreamProducer) Send(ctx context.Context, key, value []byte) error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	i := p.turn
	if key != nil {
		h := fnv.New32a()
		h.Write(key) // a hash never fails
		i = int(h.Sum32() % uint32(len(p.subjects)))
	} else if p.turn++; p.turn == len(p.subjects) {
		p.turn = 0
	}
	for {
		_, err := p.js.PublishAsync(p.subjects[i], value)
		// The client gives up after 200 ms without room among the pending ones.
		// Options for a longer wait cost as much as the publish, so try again.
		if !errors.Is(err, jetstream.ErrTooManyStalledMsgs) || ctx.Err() != nil {
			return err
		}
	}
}

func (p *jetStreamProducer) Flush(ctx context.Context) error {
	select {
	case <-p.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *jetStreamProducer) Close() error {
	p.conn.Close()
	return nil
}

// jetStreamSyncProducer publishes over one connection that the writers share,
// writer i to stream i modulo their number.
type jetStreamSyncProducer struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	subjects []string
}

func (p *jetStreamSyncProducer) SendSync(ctx context.Context, writer int, value []byte) error {
	_, err := p.js.Publish(ctx, p.subjects[writer%len(p.subjects)], value)
	return err
}

func (p *jetStreamSyncProducer) Close() error {
	p.conn.Close()
	return nil
}

// jetStreamConsumer reads every stream through an ordered consumer of its own
// over one connection. The client calls a handler for each message; Poll takes
// what the handlers have gathered.
type jetStreamConsumer struct {
	conn *nats.Conn
	js   jetstream.JetStream
	runs []jetstream.ConsumeContext
	next []uint64 // by stream: the sequence after the last visited one

	more chan struct{} // holds a token once something was queued; never closed

	mu      sync.Mutex
	room    *sync.Cond // the queue was taken, or the consumer paused
	queue   []jetStreamMessage
	paused  bool
	failure error

	taken []jetStreamMessage // Poll's
}

type jetStreamMessage struct {
	partition int
	msg       jetstream.Msg
}

func (c *jetStreamConsumer) put(partition int, msg jetstream.Msg) {
	c.mu.Lock()
	for len(c.queue) >= jetStreamQueue && !c.paused {
		c.room.Wait()
	}
	if c.paused {
		c.mu.Unlock()
		return
	}
	c.queue = append(c.queue, jetStreamMessage{partition, msg})
	c.mu.Unlock()
	c.wake()
}

func (c *jetStreamConsumer) fail(err error) {
	c.mu.Lock()
	c.failure = errors.Join(c.failure, err)
	c.mu.Unlock()
	c.wake()
}

func (c *jetStreamConsumer) wake() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *jetStreamConsumer) Poll(ctx context.Context, visit func([]byte)) (int, error) {
	for {
		c.mu.Lock()
		c.taken, c.queue = c.queue, c.taken[:0]
		err := c.failure
		c.mu.Unlock()
		c.room.Broadcast()
		if err != nil {
			return 0, err
		}
		if len(c.taken) > 0 {
			break
		}
		select {
		case <-c.more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	for i := range c.taken {
		visit(c.taken[i].msg.Data())
		c.next[c.taken[i].partition]++ // without deletes, sequences have no gaps
	}
	n := len(c.taken)
	clear(c.taken)
	return n, nil
}

func (c *jetStreamConsumer) Pause(context.Context) error {
	c.mu.Lock()
	c.paused = true
	c.mu.Unlock()
	c.room.Broadcast()
	for _, run := range c.runs {
		run.Stop()
		<-run.Closed()
	}
	c.runs = nil
	c.mu.Lock()
	clear(c.queue)
	c.queue = c.queue[:0]
	c.mu.Unlock()
	return nil
}

func (c *jetStreamConsumer) Resume(ctx context.Context) error {
	c.mu.Lock()
	c.paused = false
	c.mu.Unlock()
	for i, next := range c.next {
		ordered, err := c.js.OrderedConsumer(ctx, jetStreamName(i), jetstream.OrderedConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:   next,
		})
		if err != nil {
			return fmt.Errorf("jetstream: consumer of stream %d: %w", i, err)
		}
		run, err := ordered.Consume(
			func(msg jetstream.Msg) { c.put(i, msg) },
			jetstream.PullMaxMessages(jetStreamPull),
			jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { c.fail(err) }))
		if err != nil {
			return fmt.Errorf("jetstream: consumer of stream %d: %w", i, err)
		}
		c.runs = append(c.runs, run)
	}
	return nil
}

func (c *jetStreamConsumer) Close() error {
	err := c.Pause(context.Background())
	c.conn.Close()
	return err
}
