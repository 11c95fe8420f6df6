package main

import (
	"crypto/tls"

	"github.com/leatlog/leat"
)

// serveTLS is the files of a server's TLS.
type serveTLS struct{ cert, key, clientCA string }

// load returns nil when TLS is not asked for.
func (t *serveTLS) load() (*tls.Config, error) {
	switch {
	case t.cert == "" && t.key == "" && t.clientCA == "":
		return nil, nil
	case t.cert == "" || t.key == "":
		return nil, usagef("TLS needs both --tls-cert and --tls-key")
	}
	cert, err := loadCertificate(t.cert, t.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if t.clientCA != "" {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		if c.ClientCAs, err = loadPool(t.clientCA); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *serveConfig) kafkaOptions(t *tls.Config) []leat.KafkaOption {
	limits := c.limits
	limits.RequestBytes, limits.FetchBytes = int(c.requestBytes), int(c.fetchBytes)
	limits.MemoryBytes = int64(c.memoryBytes)
	o := []leat.KafkaOption{leat.WithKafkaLimits(limits)}
	if t != nil {
		o = append(o, leat.WithKafkaTLS(t))
	}
	if c.insecure {
		o = append(o, leat.WithKafkaInsecure())
	}
	if c.advertise != "" {
		o = append(o, leat.WithKafkaAdvertised(c.advertise))
	}
	return o
}

// clusterKafkaOptions is kafkaOptions for the node of a cluster, whose own TLS and
// addresses go for its clients too, unless they must show certificates.
func (c *serveConfig) clusterKafkaOptions(t *tls.Config) []leat.KafkaOption {
	clients := *c
	clients.advertise = ""
	if c.tls.clientCA == "" {
		t = nil
	}
	return clients.kafkaOptions(t)
}
