package peer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/peer"
)

// certificate returns one that signs itself, for a loopback address or another name.
func certificate(t testing.TB, name string, addrs ...net.IP) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: addrs,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// The name or address of the peer is verified, and both sides show who they are.
func TestTLS(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, serverCA := certificate(t, "peer.example", net.IPv4(127, 0, 0, 1))
	client, clientCA := certificate(t, "client.example")
	_, otherCA := certificate(t, "other.example", net.IPv4(127, 0, 0, 1))
	f := newFake(t, func(c *fakeConn) {
		c.Conn = tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clientCA})
		c.answerAll()
		_ = c.Conn.Close() // tells the client why; the other side may be gone
	})
	for name, tt := range map[string]struct {
		cfg *tls.Config
		ok  bool
	}{
		"by address":          {&tls.Config{RootCAs: serverCA, Certificates: []tls.Certificate{client}}, true},
		"by name":             {&tls.Config{RootCAs: serverCA, Certificates: []tls.Certificate{client}, ServerName: "peer.example"}, true},
		"another name":        {&tls.Config{RootCAs: serverCA, Certificates: []tls.Certificate{client}, ServerName: "else.example"}, false},
		"another authority":   {&tls.Config{RootCAs: otherCA, Certificates: []tls.Certificate{client}}, false},
		"without certificate": {&tls.Config{RootCAs: serverCA}, false},
		"plain text":          {nil, false},
	} {
		p := newPool(t, f.addr(), peer.Config{TLS: tt.cfg})
		err := produce(t, ctx, p)
		if tt.ok {
			require.NoError(t, err, name)
			require.NoError(t, produce(t, ctx, p), name)
		} else {
			unreachable(t, err, false)
		}
		p.Close()
	}
}
