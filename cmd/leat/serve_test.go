package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startServe starts "leat serve --json" on free ports with args.
func startServe(t testing.TB, args ...string) (*process, ready) {
	t.Helper()
	p := startProcess(t, append([]string{"serve", "--json", "--listen", "127.0.0.1:0"}, args...)...)
	var r ready
	require.NoError(t, json.Unmarshal([]byte(p.ready), &r), p.ready)
	return p, r
}

func produceOne(t testing.TB, addr, topic, value string, opts ...kgo.Opt) *kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation())...)
	require.NoError(t, err)
	defer c.Close()
	r, err := c.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: []byte(value)}).First()
	require.NoError(t, err)
	return r
}

func get(t testing.TB, c *http.Client, url string) (status int, body string) {
	t.Helper()
	defer c.CloseIdleConnections()
	resp, err := c.Get(url)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(b)
}

// TestServeKeepsRecords ends serve by each signal, and starts it again on the directory.
func TestServeKeepsRecords(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for i, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt, syscall.SIGKILL, syscall.SIGTERM} {
		p, r := startServe(t, "--dir", dir)
		require.Equal(t, dir, r.Dir)
		require.Empty(t, r.Metrics)
		require.EqualValues(t, i, produceOne(t, r.Listen, "t", "v").Offset, "what was there before is there")
		status := p.end(t, sig)
		if sig == syscall.SIGKILL {
			require.Equal(t, -1, status)
			continue
		}
		require.Zero(t, status, p.diagnostics())
		require.Contains(t, p.diagnostics(), "shutting down")
	}
}

func TestServeTellsPeopleWhereItIs(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "serve", "--in-memory", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--advertise", "example.org:1234")
	require.Regexp(t, `^ready: Kafka clients can connect to 127\.0\.0\.1:\d+, which is advertised as example\.org:1234; the log is in memory; metrics at http://127\.0\.0\.1:\d+/metrics\n$`, p.ready)
	require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())
}

func TestServeMetrics(t *testing.T) {
	t.Parallel()
	p, r := startServe(t, "--in-memory", "--metrics", "127.0.0.1:0", "--default-partitions", "3", "--pprof")
	produceOne(t, r.Listen, "orders", "v")
	status, body := get(t, http.DefaultClient, r.Metrics)
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{"\nleat_produced_records_total 1\n", "\nleat_topics 1\n", "\nleat_partitions 3\n",
		`leat_partition_high_watermark_offset{partition="0",topic="orders"} `, "\ngo_goroutines ", "\nprocess_open_fds "} {
		require.Contains(t, body, want)
	}
	base := strings.TrimSuffix(r.Metrics, "/metrics")
	status, body = get(t, http.DefaultClient, base+"/healthz")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok\n", body)
	status, body = get(t, http.DefaultClient, base+"/debug/pprof/goroutine?debug=1")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "goroutine profile")
	status, _ = get(t, http.DefaultClient, base+"/")
	require.Equal(t, http.StatusNotFound, status)
	require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())

	p, r = startServe(t, "--in-memory", "--metrics", "127.0.0.1:0")
	status, _ = get(t, http.DefaultClient, strings.TrimSuffix(r.Metrics, "/metrics")+"/debug/pprof/goroutine")
	require.Equal(t, http.StatusNotFound, status, "profiles are not served unless asked for")
	require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())
}

// certificateFiles writes a certificate for 127.0.0.1 that signs itself, and its key.
func certificateFiles(t testing.TB) (certFile, keyFile string, cert tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, keyPEM, 0o600))
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certPEM))
	return certFile, keyFile, cert, pool
}

// TestServeTLS serves clients that show a certificate, on an address that other machines
// can reach, and the metrics too.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, cert, pool := certificateFiles(t)
	p, r := startServe(t, "--in-memory", "--listen", "0.0.0.0:0", "--metrics", "0.0.0.0:0",
		"--tls-cert", certFile, "--tls-key", keyFile, "--tls-client-ca", certFile)
	_, port, err := net.SplitHostPort(r.Listen)
	require.NoError(t, err)
	addr := net.JoinHostPort("127.0.0.1", port)
	config := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}
	produceOne(t, addr, "t", "v", kgo.DialTLSConfig(config))

	require.True(t, strings.HasPrefix(r.Metrics, "https://"), r.Metrics)
	_, rest, _ := strings.Cut(r.Metrics, "]")
	url := "https://127.0.0.1" + rest
	status, body := get(t, &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, url)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "leat_topics 1\n")
	_, err = (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}).Get(url)
	require.Error(t, err, "without a certificate")
	require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())
}

// TestServeConfigFile takes settings from a file, over which the flags win.
func TestServeConfigFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "leat.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("# a comment\nin-memory: true\nlisten: 192.0.2.1:1 # the flag wins\nmetrics: 127.0.0.1:0\n" +
		"default-partitions: 7\ntopic-default: [retention.ms=3600000, cleanup.policy=compact]\ncache-bytes: 8MiB\nidle-timeout: 5m\nlog-format: json\n")
	p, r := startServe(t, "--config", file)
	c, err := kgo.NewClient(kgo.SeedBrokers(r.Listen), kgo.AllowAutoTopicCreation())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.ProduceSync(testContext(t), &kgo.Record{Topic: "t", Key: []byte("k")}).FirstErr())
	_, body := get(t, http.DefaultClient, r.Metrics)
	require.Contains(t, body, "\nleat_partitions 7\n")
	require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())
	require.Contains(t, p.diagnostics(), `"msg":"shutting down"`)

	for _, tt := range []struct{ text, want string }{
		{"in-memory: true\nlisten: 127.0.0.1:0\nretension: 7\n", file + `:3: retension: there is no such setting`},
		{"brokers: [a]\n", file + ":1: brokers: there is no such setting"},
		{"config: x\n", file + ":1: config: there is no such setting"},
		{"[1]: x\n", file + ":1: : there is no such setting"},
		{"dir: a\ndir: b\n", "line 1 already"},
		{"default-partitions: many\n", file + ":1: default-partitions: "},
		{"default-partitions: [1, 2]\n", "must be a value (int)"},
		{"topic-default: [[a]]\n", "must be a list of plain values"},
		{"dir:\n", "must be a value (string)"},
		{"- dir\n", file + ":1: must be lines of the form"},
		{"dir: [\n", "yaml"},
		{"dir: a\n---\ndir: b\n", "more than one YAML document"},
		{"", "--dir must name"},
		{"# nothing\n", "--dir must name"},
		{"~\n", "--dir must name"},
		{strings.Repeat("#", configFileBytesMax+1), "is larger than 1.0 MiB"},
	} {
		write(tt.text)
		r := leatIn(t, testContext(t), "", "serve", "--config", file)
		require.Equal(t, exitUsage, r.status, tt.text)
		require.Contains(t, r.stderr, tt.want)
		require.Empty(t, r.stdout)
	}
}

func TestServeRefusals(t *testing.T) {
	t.Parallel()
	certFile, keyFile, _, _ := certificateFiles(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, tt := range []struct {
		args   string
		status int
		want   string // a part of stderr
	}{
		{"", exitUsage, "--dir must name the directory"},
		{"--dir d --in-memory", exitUsage, "exclude each other"},
		{"--in-memory extra", exitUsage, `unknown command "extra"`},
		{"--in-memory --listen 0.0.0.0:0", exitUsage, "hint: give --tls-cert and --tls-key, or --insecure"},
		{"--in-memory --listen :0", exitUsage, "other machines can reach this address"},
		{"--in-memory --listen 127.0.0.1:0 --metrics :0", exitUsage, "--metrics :0: other machines"},
		{"--in-memory --listen nowhere", exitUsage, "must have the form host:port"},
		{"--in-memory --listen " + taken.Addr().String(), exitFailed, "address already in use"},
		{"--in-memory --listen 127.0.0.1:0 --pprof", exitUsage, "--pprof needs --metrics"},
		{"--in-memory --listen 127.0.0.1:0 --default-partitions 0", exitUsage, "--default-partitions must be"},
		{"--in-memory --listen 127.0.0.1:0 --topic-default retention", exitUsage, "property=value"},
		{"--in-memory --listen 127.0.0.1:0 --topic-default retention.ms=soon", exitUsage, "retention.ms"},
		{"--in-memory --log-level loud", exitUsage, "debug, info, warn or error"},
		{"--in-memory --log-format xml", exitUsage, "text or json"},
		{"--in-memory --cache-bytes 1ZB", exitUsage, "is not a number of bytes"},
		{"--in-memory --max-connections -1", exitFailed, "Connections"},
		{"--in-memory --advertise nowhere", exitFailed, "advertise"},
		{"--in-memory --tls-cert " + certFile, exitUsage, "both --tls-cert and --tls-key"},
		{"--in-memory --tls-cert " + certFile + " --tls-key " + certFile, exitFailed, "with the key"},
		{"--in-memory --tls-cert " + certFile + " --tls-key " + keyFile + " --tls-client-ca " + keyFile, exitFailed, "no PEM certificate"},
		{"--in-memory --tls-cert /nonexistent --tls-key " + keyFile, exitFailed, "/nonexistent"},
		{"--in-memory --brokers b:1", exitUsage, "--brokers is for commands that connect"},
		{"--config /nonexistent", exitUsage, "/nonexistent"},
		{"--dir /dev/null/x --listen 127.0.0.1:0", exitFailed, "/dev/null"},
	} {
		args := append([]string{"serve"}, strings.Fields(tt.args)...)
		if !strings.Contains(tt.args, "--listen") {
			args = append(args, "--listen", "127.0.0.1:0")
		}
		r := leatIn(t, testContext(t), "", args...)
		require.Equal(t, tt.status, r.status, "%q: %s", tt.args, r.stderr)
		require.Contains(t, r.stderr, tt.want, tt.args)
	}
}

// TestServeLocked starts a second server on the directory of another.
func TestServeLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, _ := startServe(t, "--dir", dir)
	r := leatIn(t, testContext(t), "", "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	require.Equal(t, exitFailed, r.status)
	require.Contains(t, r.stderr, "hint: another process has the directory open")
	require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())
}

func TestServeHelp(t *testing.T) {
	t.Parallel()
	out := mustLeat(t, "", "serve", "--help")
	require.Contains(t, out, "--tls-client-ca file")
	require.Contains(t, out, "--json")
	require.NotContains(t, out, "--brokers")
}
