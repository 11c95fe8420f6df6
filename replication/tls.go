package replication

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// TLSSource gives the TLS configuration for a new connection, accepted or
// dialled, so that certificates can be replaced while a Transport runs;
// connections that stand keep what they began with. It may be called from
// several goroutines at once. The configuration is not changed by the Transport
// and must not be changed by the source once returned.
//
// It must have a certificate (Certificates, or both GetCertificate and
// GetClientCertificate), and RootCAs, which is what both sides of a connection
// verify the other by; ClientCAs, when set, takes its place for the accepting
// side. The Transport adds the rest: both sides show a certificate (mutual
// TLS), version 1.3, and the ServerName, the dialled host, when there is none.
type TLSSource func() (*tls.Config, error)

// StaticTLS returns a source of one configuration.
func StaticTLS(c *tls.Config) TLSSource {
	return func() (*tls.Config, error) { return c, nil }
}

// TLSFiles returns a source that reads the PEM files of a certificate, its key
// and the authorities, and reads them again after one of them has changed. A
// file that cannot be read or does not fit the others fails no connection as
// long as an earlier state was good: that one is used on.
func TLSFiles(certFile, keyFile, caFile string) TLSSource {
	f := &tlsFiles{names: [3]string{certFile, keyFile, caFile}}
	return f.config
}

type tlsFiles struct {
	names [3]string

	mu     sync.Mutex
	stamps [3]fileStamp
	last   *tls.Config
}

// fileStamp tells a file from its next version.
type fileStamp struct {
	modified time.Time
	size     int64
}

func (f *tlsFiles) config() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var stamps [3]fileStamp
	for i, name := range f.names {
		info, err := os.Stat(name)
		if err != nil {
			return f.fallbackLocked(err)
		}
		stamps[i] = fileStamp{info.ModTime(), info.Size()}
	}
	if f.last != nil && stamps == f.stamps {
		return f.last, nil
	}
	cert, err := tls.LoadX509KeyPair(f.names[0], f.names[1])
	if err != nil {
		return f.fallbackLocked(fmt.Errorf("%s, %s: %w", f.names[0], f.names[1], err))
	}
	pem, err := os.ReadFile(f.names[2])
	if err != nil {
		return f.fallbackLocked(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return f.fallbackLocked(fmt.Errorf("%s: no certificate in it", f.names[2]))
	}
	f.stamps = stamps
	f.last = &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool}
	return f.last, nil
}

func (f *tlsFiles) fallbackLocked(err error) (*tls.Config, error) {
	if f.last != nil {
		return f.last, nil
	}
	return nil, err
}

// serverTLS returns the accepting side's configuration.
func serverTLS(source TLSSource) (*tls.Config, error) {
	c, err := peerTLS(source)
	if err != nil {
		return nil, err
	}
	if c.ClientCAs == nil {
		c.ClientCAs = c.RootCAs
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}

// clientTLS returns the dialling side's configuration.
func clientTLS(source TLSSource, addr string) (*tls.Config, error) {
	c, err := peerTLS(source)
	if err != nil {
		return nil, err
	}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		c.ServerName = host
	}
	return c, nil
}

func peerTLS(source TLSSource) (*tls.Config, error) {
	c, err := source()
	if err != nil {
		return nil, fmt.Errorf("TLS configuration: %w", err)
	}
	if c == nil || c.RootCAs == nil {
		return nil, errors.New("TLS configuration: RootCAs is not set: peers cannot be verified")
	}
	if c.InsecureSkipVerify {
		return nil, errors.New("TLS configuration: InsecureSkipVerify is set: peers must be verified")
	}
	if len(c.Certificates) == 0 && (c.GetCertificate == nil || c.GetClientCertificate == nil) {
		return nil, errors.New("TLS configuration: no certificate: both sides show one")
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = nil
	return c, nil
}
