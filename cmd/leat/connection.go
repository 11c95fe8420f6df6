package main

import (
	"time"

	"github.com/spf13/pflag"
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
	timeout time.Duration
}

func (c *connection) addFlags(f *pflag.FlagSet, getenv func(string) string) {
	brokers := getenv(brokersEnv)
	if brokers == "" {
		brokers = defaultBrokers
	}
	f.StringSliceVar(&c.brokers, "brokers", splitList(brokers), "host:port of one or more brokers; env "+brokersEnv)
	f.BoolVar(&c.tls, "tls", false, "use TLS; the system's certificate authorities are trusted")
	f.StringVar(&c.tlsCA, "tls-ca", "", "trust the certificate authorities in this PEM `file` instead; implies --tls")
	f.StringVar(&c.tlsCert, "tls-cert", "", "show the certificate in this PEM `file`; implies --tls")
	f.StringVar(&c.tlsKey, "tls-key", "", "PEM `file` with the key of --tls-cert")
	f.DurationVar(&c.timeout, "timeout", defaultTimeout, "how long to wait for the brokers' answers")
}
