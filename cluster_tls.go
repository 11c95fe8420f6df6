package leat

import (
	"crypto/tls"

	"github.com/leatlog/leat/replication"
)

// ClusterTLSFiles returns a source for ClusterConfig.TLS that reads the PEM files of a
// certificate, its key, and the authorities by which nodes verify each other, and reads
// them again after one of them has changed. Files that do not fit leave what was read
// before in use.
func ClusterTLSFiles(certFile, keyFile, caFile string) func() (*tls.Config, error) {
	return replication.TLSFiles(certFile, keyFile, caFile)
}

// reloadingTLS is the configuration of a listener, that asks source for each connection.
func reloadingTLS(first *tls.Config, source func() (*tls.Config, error)) *tls.Config {
	c := clientsTLS(first)
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		next, err := source()
		if err != nil {
			return nil, err
		}
		return clientsTLS(next), nil
	}
	return c
}

// clientsTLS is what peers use, for clients: they show a certificate if ClientAuth says
// so, and one that they show must be of the authorities.
func clientsTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	if c.ClientCAs == nil {
		c.ClientCAs = c.RootCAs
	}
	return c
}
