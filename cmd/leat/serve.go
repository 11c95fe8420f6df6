package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leatlog/leat"
)

// serveConfig is what serve's flags, and its config file by the same names, say.
type serveConfig struct {
	dir      string
	inMemory bool

	listen    string
	advertise string
	tls       serveTLS
	insecure  bool

	cluster serveCluster

	autoCreateTopics  bool
	defaultPartitions int
	topicDefaults     []string // name=value

	cacheBytes, tailCacheBytes, memTableBytes byteSize
	limits                                    leat.KafkaLimits
	requestBytes, fetchBytes, memoryBytes     byteSize

	metrics string
	pprof   bool

	logLevel  string
	logFormat string
}

func (c *serveConfig) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.dir, "dir", "", "`directory` of the log; it is made if it is missing")
	f.BoolVar(&c.inMemory, "in-memory", false, "keep everything in memory only, instead of --dir")
	f.StringVar(&c.listen, "listen", "127.0.0.1:9092", "`host:port` for Kafka's clients; port 0 takes a free one")
	f.StringVar(&c.advertise, "advertise", "", "`host:port` that clients are told to connect to (default the one of --listen)")
	f.StringVar(&c.tls.cert, "tls-cert", "", "PEM `file` with the certificate to show clients; makes them use TLS")
	f.StringVar(&c.tls.key, "tls-key", "", "PEM `file` with the key of --tls-cert")
	f.StringVar(&c.tls.clientCA, "tls-client-ca", "", "PEM `file` with who signs clients' certificates; makes clients show one")
	f.BoolVar(&c.insecure, "insecure", false, "allow addresses that other machines can reach without TLS")
	c.cluster.addFlags(f)
	f.BoolVar(&c.autoCreateTopics, "auto-create-topics", true, "make a topic when a client uses it first (auto.create.topics.enable)")
	f.IntVar(&c.defaultPartitions, "default-partitions", 1, "`partitions` of topics that do not say how many (num.partitions)")
	f.StringArrayVar(&c.topicDefaults, "topic-default", nil, "`property=value` that topics inherit, by Kafka's names, such as retention.ms=86400000; may be repeated")
	f.Var(&c.cacheBytes, "cache-bytes", "cache of blocks read from disk (default 32MiB)")
	f.Var(&c.tailCacheBytes, "tail-cache-bytes", "newest batches kept in memory for consumers that follow (default 32MiB)")
	f.Var(&c.memTableBytes, "memtable-bytes", "size of a memtable, of which up to four exist (default 16MiB)")
	f.IntVar(&c.limits.Connections, "max-connections", 0, "connections at a time (default 10000)")
	f.IntVar(&c.limits.ConnectionsPerAddr, "max-connections-per-address", 0, "connections at a time from one address (default 5000)")
	f.IntVar(&c.limits.InFlight, "max-in-flight", 0, "requests of a connection that are not answered yet (default 16)")
	f.Var(&c.requestBytes, "max-request-bytes", "size of a request (default 100MiB)")
	f.Var(&c.fetchBytes, "max-fetch-bytes", "records in the answer to a fetch (default 16MiB)")
	f.Var(&c.memoryBytes, "max-memory-bytes", "all requests together, and as much again the answers (default 256MiB)")
	f.DurationVar(&c.limits.IdleTimeout, "idle-timeout", 0, "close connections without a request for so long (default 10m)")
	f.DurationVar(&c.limits.RequestTimeout, "request-timeout", 0, "close connections that take longer to send or take a piece (default 30s)")
	f.StringVar(&c.metrics, "metrics", "", "`host:port` for HTTP with /metrics for Prometheus and /healthz, such as 127.0.0.1:9308")
	f.BoolVar(&c.pprof, "pprof", false, "serve Go's profiles below /debug/pprof/ of --metrics")
	f.StringVar(&c.logLevel, "log-level", "info", "diagnostics to stderr: debug, info, warn or error")
	f.StringVar(&c.logFormat, "log-format", "text", "form of the diagnostics: text or json")
}

// logConfig returns the config of the Log, or a usageError.
func (c *serveConfig) logConfig(logger *slog.Logger) (leat.Config, error) {
	cfg := leat.Config{
		Dir: c.dir, InMemory: c.inMemory, AutoCreateTopics: c.autoCreateTopics, Logger: logger,
		CacheBytes: int64(c.cacheBytes), TailCacheBytes: int64(c.tailCacheBytes), MemTableBytes: int64(c.memTableBytes),
	}
	switch {
	case c.dir == "" && !c.inMemory:
		return cfg, usagef("--dir must name the directory of the log, or --in-memory must be given")
	case c.dir != "" && c.inMemory:
		return cfg, usagef("--dir and --in-memory exclude each other")
	case c.defaultPartitions < 1:
		return cfg, usagef("--default-partitions must be at least 1")
	case c.pprof && c.metrics == "":
		return cfg, usagef("--pprof needs --metrics, which says where to serve")
	}
	cfg.TopicDefaults.Partitions = c.defaultPartitions
	for _, p := range c.topicDefaults {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return cfg, usagef("--topic-default %q must have the form property=value", p)
		}
		if err := cfg.TopicDefaults.SetProperty(name, value); err != nil {
			return cfg, usagef("--topic-default: %w", err)
		}
	}
	return cfg, nil
}

func (c *serveConfig) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return nil, usagef("--log-level %q must be debug, info, warn or error", c.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch c.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usagef("--log-format %q must be text or json", c.logFormat)
}

func (a *app) serveCommand() *cobra.Command {
	var c serveConfig
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a log to Kafka's clients",
		Long: "Serve opens a log, or makes it, and serves it to Kafka's clients in any language, until\n" +
			"SIGINT or SIGTERM; a second one ends it at once. When clients can connect it prints a\n" +
			"line with the address. Diagnostics go to stderr.\n\n" +
			"There is no authentication but TLS certificates, and no authorization: an address that\n" +
			"other machines can reach needs --tls-cert and --tls-key, or --insecure.",
		Example: "  leat serve --dir data\n" +
			"  leat serve --dir data --metrics 127.0.0.1:9308\n" +
			"  leat serve --config leat.yaml",
		Args: cobra.NoArgs,
	}
	cmd.Flags().SortFlags = false
	c.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "YAML `file` that sets flags by their names; flags given here win")
	hideInherited(cmd, "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range []string{"brokers", "tls", "tls-ca", "timeout"} {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is for commands that connect to brokers, serve is one; see --listen and --tls-cert", name)
			}
		}
		if file != "" {
			if err := applyConfigFile(file, cmd.LocalNonPersistentFlags()); err != nil {
				return err
			}
		}
		return a.does(func(ctx context.Context, _ []string) error { return a.serve(ctx, &c) })(cmd, args)
	}
	return cmd
}

// hideInherited keeps the flags that cmd has from its parents, but for those in keep,
// out of its help.
func hideInherited(cmd *cobra.Command, keep ...string) {
	help := cmd.HelpFunc()
	cmd.SetHelpFunc(func(c *cobra.Command, args []string) {
		c.InheritedFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
		for _, name := range keep {
			if f := c.InheritedFlags().Lookup(name); f != nil {
				f.Hidden = false
			}
		}
		help(c, args)
	})
}

// ready is what serve prints when clients can connect.
type ready struct {
	Listen    string `json:"listen"`              // the address it really has
	Node      uint64 `json:"node,omitempty"`      // of a cluster
	Advertise string `json:"advertise,omitempty"` // what clients are told, if it is another
	Dir       string `json:"dir,omitempty"`       // "" in memory
	Metrics   string `json:"metrics,omitempty"`   // URL
}

// serve runs until ctx ends or something fails for good.
func (a *app) serve(ctx context.Context, c *serveConfig) (err error) {
	tuneMemory()
	logger, err := c.logger(a.stderr)
	if err != nil {
		return err
	}
	cfg, err := c.logConfig(logger)
	if err != nil {
		return err
	}
	tlsConfig, err := c.tls.load()
	if err != nil {
		return err
	}
	r := ready{Listen: c.listen, Advertise: c.advertise, Dir: c.dir}
	serveClients := func(ctx context.Context, _ *leat.Log) error { return awaitEnd(ctx) }
	if cfg.Cluster, err = c.cluster.config(c); err != nil {
		return err
	}
	if cfg.Cluster != nil {
		cfg.Cluster.Kafka = c.clusterKafkaOptions(tlsConfig)
		r.Node = cfg.Cluster.NodeID
	} else {
		ln, err := listen("--listen", c.listen, tlsConfig != nil || c.insecure)
		if err != nil {
			return err
		}
		defer func() {
			if cerr := ln.Close(); !errors.Is(cerr, net.ErrClosed) { // ServeKafka has closed it
				err = errors.Join(err, cerr)
			}
		}()
		r.Listen = ln.Addr().String()
		serveClients = func(ctx context.Context, log *leat.Log) error {
			return log.ServeKafka(ctx, ln, c.kafkaOptions(tlsConfig)...)
		}
	}
	log, err := leat.Open(ctx, cfg)
	if err != nil {
		if errors.Is(err, leat.ErrLocked) {
			return hintf(err, "another process has the directory open; end it, or take another --dir")
		}
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	var metrics *metricsServer
	if c.metrics != "" {
		metrics, err = startMetrics(serving, log, c, tlsConfig, logger)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, metrics.close()) }()
		context.AfterFunc(metrics.ended, cancel) // serve ends with it
		r.Metrics = metrics.url
	}
	if err := a.tellReady(r); err != nil {
		return err
	}
	err = serveClients(serving, log)
	if errors.Is(err, context.Canceled) && serving.Err() != nil {
		err = nil // it was told to end before it began
	}
	logger.Info("shutting down", "listen", r.Listen)
	return err
}

func (a *app) tellReady(r ready) error {
	if a.json {
		return json.NewEncoder(a.stdout).Encode(r)
	}
	line := "ready: Kafka clients can connect to " + r.Listen
	if r.Advertise != "" {
		line += ", which is advertised as " + r.Advertise
	}
	if r.Node != 0 {
		line += fmt.Sprintf("; this is node %d", r.Node)
	}
	if r.Dir == "" {
		line += "; the log is in memory"
	} else {
		line += "; the log is in " + r.Dir
	}
	if r.Metrics != "" {
		line += "; metrics at " + r.Metrics
	}
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}

// listen binds addr, the value of a flag. Unless it is safe, only loopback addresses are
// bound.
func listen(flag, addr string, safe bool) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		var op *net.AddrError
		if errors.As(err, &op) {
			return nil, usagef("%s %q must have the form host:port: %w", flag, addr, err)
		}
		return nil, hintf(fmt.Errorf("%s %s: %w", flag, addr, err), "choose another address by %s", flag)
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); !safe && (!ok || !tcp.IP.IsLoopback()) {
		err := usagef("%s %s: other machines can reach this address, and it would be without TLS", flag, addr)
		err = hintf(err, "give --tls-cert and --tls-key, or --insecure to let everyone in who can connect")
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// closeGrace is how long the answers that are under way on the metrics' port may take
// when serve ends.
const closeGrace = 2 * time.Second
