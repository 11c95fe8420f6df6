package leat

import (
	"crypto/tls"
	"errors"

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

// reloadingPeerTLS is the configuration of connections to other nodes' client addresses,
// that asks source for the certificate to show for each connection. The authorities that
// it verifies the other by stay those of first.
func reloadingPeerTLS(first *tls.Config, source func() (*tls.Config, error)) *tls.Config {
	c := first.Clone()
	c.Certificates = nil
	c.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		now, err := source()
		switch {
		case err != nil:
			return nil, err
		case now.GetClientCertificate != nil:
			return now.GetClientCertificate(r)
		case len(now.Certificates) == 0:
			return nil, errors.New("leat: Config.Cluster.TLS has no certificate to show")
		}
		return &now.Certificates[0], nil
	}
	return c
}
