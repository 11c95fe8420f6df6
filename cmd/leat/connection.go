package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	defaultBrokers = "127.0.0.1:9092"
	brokersEnv     = "LEAT_BROKERS"
	defaultTimeout = 15 * time.Second
)

// connection is how to reach the brokers.
type connection struct {
	brokers []string
	tls     bool
	tlsCA   string
	tlsCert string
	tlsKey  string
	timeout time.Duration // of what is asked, more than 0
}

func (c *connection) addFlags(f *pflag.FlagSet, getenv func(string) string) {
	brokers := getenv(brokersEnv)
	if brokers == "" {
		brokers = defaultBrokers
	}
	f.StringSliceVar(&c.brokers, "brokers", splitList(brokers), "`host:port` of one or more brokers; env "+brokersEnv)
	f.BoolVar(&c.tls, "tls", false, "use TLS; the system's certificate authorities are trusted")
	f.StringVar(&c.tlsCA, "tls-ca", "", "trust the certificate authorities in this PEM `file` instead; implies --tls")
	f.StringVar(&c.tlsCert, "tls-cert", "", "show the certificate in this PEM `file`; implies --tls")
	f.StringVar(&c.tlsKey, "tls-key", "", "PEM `file` with the key of --tls-cert")
	f.DurationVar(&c.timeout, "timeout", defaultTimeout, "how long to wait for the brokers' answers")
}

// options returns the client's options, or a usageError.
func (c *connection) options() ([]kgo.Opt, error) {
	c.brokers = splitList(strings.Join(c.brokers, ","))
	if len(c.brokers) == 0 {
		return nil, usagef("--brokers must name at least one broker")
	}
	if c.timeout <= 0 {
		return nil, usagef("--timeout must be more than 0")
	}
	o := []kgo.Opt{
		kgo.SeedBrokers(c.brokers...),
		kgo.ClientID("leat-cli"),
		kgo.DialTimeout(c.timeout),
		kgo.RetryTimeout(c.timeout),
		kgo.MetadataMinAge(50 * time.Millisecond), // what was just changed is asked for again
	}
	if !c.tls && c.tlsCA == "" && c.tlsCert == "" && c.tlsKey == "" {
		return o, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return nil, usagef("--tls-cert and --tls-key must be given together")
	}
	if c.tlsCA != "" {
		pool, err := loadPool(c.tlsCA)
		if err != nil {
			return nil, err
		}
		t.RootCAs = pool
	}
	if c.tlsCert != "" {
		cert, err := loadCertificate(c.tlsCert, c.tlsKey)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return append(o, kgo.DialTLSConfig(t)), nil
}

// connect returns a client that has reached a broker; the caller closes it.
func (a *app) connect(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	base, err := a.client.options()
	if err != nil {
		return nil, err
	}
	c, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		return nil, usagef("%w", err)
	}
	within, cancel := a.within(ctx)
	defer cancel()
	if err := c.Ping(within); err != nil {
		c.Close()
		return nil, a.unreachable(within, err)
	}
	return c, nil
}

// within bounds what is asked of the brokers by --timeout.
func (a *app) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, a.client.timeout,
		fmt.Errorf("%s did not answer within %v", strings.Join(a.client.brokers, ", "), a.client.timeout))
}

// unreachable tells why no broker was reached.
func (a *app) unreachable(ctx context.Context, err error) error {
	var eof *kgo.ErrFirstReadEOF
	var record tls.RecordHeaderError
	brokers := strings.Join(a.client.brokers, ", ")
	wrapped := fmt.Errorf("cannot reach a broker at %s: %w", brokers, err)
	switch {
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ctx.Err()
	case errors.As(err, &record):
		return hintf(wrapped, "the broker does not speak TLS here: leave out --tls, or give another address")
	case errors.As(err, &eof):
		return hintf(wrapped, "the broker hung up: it may want TLS (--tls, --tls-ca), a certificate (--tls-cert), or something else than Kafka's protocol")
	case strings.Contains(err.Error(), "x509:"), strings.Contains(err.Error(), "tls:"):
		return hintf(wrapped, "--tls-ca names the file with the authority that signed the broker's certificate, --tls-cert the certificate to show")
	}
	return hintf(wrapped, "\"leat serve --dir data\" starts a broker on %s; --brokers or %s names others", defaultBrokers, brokersEnv)
}

// administers makes the RunE of a command that asks brokers for something, all of which
// they have to answer within --timeout.
func (a *app) administers(f func(ctx context.Context, adm *kadm.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.asks(func(ctx context.Context, c *kgo.Client, args []string) error { return f(ctx, kadm.NewClient(c), args) })
}

// asks is administers with a client that can ask for what kadm cannot.
func (a *app) asks(f func(ctx context.Context, c *kgo.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.does(func(ctx context.Context, args []string) error {
		c, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		within, cancel := a.within(ctx)
		defer cancel()
		err = f(within, c, args)
		if errors.Is(err, context.DeadlineExceeded) && context.Cause(within) != nil && ctx.Err() == nil {
			err = hintf(context.Cause(within), "--timeout waits longer")
		}
		return err
	})
}
