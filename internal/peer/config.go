package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// Config says how a Pool reaches peers. Zero values are the defaults; nothing can be
// unlimited.
type Config struct {
	// Dial connects to a host:port; nil is TCP. It must end when ctx does, and what it
	// returns must have working deadlines.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// TLS makes every connection use it; nil is plain text. Where it has no
	// ServerName, the host of the address is verified. It is read for each
	// connection: GetClientCertificate and VerifyConnection follow what changes.
	TLS *tls.Config
	// ClientID is what the peer's listener calls this one (client.id).
	ClientID string
	// Timeout bounds writing a request and waiting for its answer, on top of what a
	// Fetch, JoinGroup or SyncGroup lets the peer wait (request.timeout.ms). A
	// connection that is slower is closed. Default 30 s.
	Timeout time.Duration
	// ConnectTimeout bounds making a connection, until the peer told which versions
	// it serves (socket.connection.setup.timeout.ms). Default 5 s.
	ConnectTimeout time.Duration
	// MaxInFlight bounds the requests of a connection that wait to be sent or
	// answered; more wait in line with their callers. Default 128.
	MaxInFlight int
	// MaxResponseBytes bounds an answer. It must be more than what is asked for in
	// a Fetch by the size of the largest batch. Default 64 MiB.
	MaxResponseBytes int
	// ConnsPerPeer is how many connections share the Produces to a peer, and as
	// many again the other short requests. A listener stores up to Limits.InFlight
	// Produces of a connection at a time, and does others one by one. Default 4.
	ConnsPerPeer int
	// LongConnsPerPeer bounds the requests to a peer that wait there (Fetch,
	// JoinGroup, SyncGroup): each has a connection to itself. More wait in line
	// with their callers. Default 32.
	LongConnsPerPeer int
	// IdleTimeout is after how long without a request a connection is closed
	// (connections.max.idle.ms). It must be less than the listener's. Default
	// 5 minutes.
	IdleTimeout time.Duration
	// BackoffMin and BackoffMax are the pauses before a second attempt to connect
	// and before a late one (reconnect.backoff.ms, reconnect.backoff.max.ms). They
	// double from one to the other, each with up to a fifth added or taken at random.
	// Defaults 20 ms and 1 s.
	BackoffMin, BackoffMax time.Duration
	// Clock times pauses and idleness; nil is the system's. Deadlines of reading and
	// writing are always the system's.
	Clock base.Clock
	// Logger receives diagnostics; nil means none.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	last := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	if c.Dial == nil {
		var d net.Dialer
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	last(&c.Timeout, 30*time.Second)
	last(&c.ConnectTimeout, 5*time.Second)
	set(&c.MaxInFlight, 128)
	set(&c.MaxResponseBytes, 64<<20)
	set(&c.ConnsPerPeer, 4)
	set(&c.LongConnsPerPeer, 32)
	last(&c.IdleTimeout, 5*time.Minute)
	last(&c.BackoffMin, 20*time.Millisecond)
	last(&c.BackoffMax, max(time.Second, c.BackoffMin))
	if c.Clock == nil {
		c.Clock = base.SystemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// ConfigError names a field of Config that breaks its rule.
type ConfigError struct{ Field, Rule string }

// Error tells the field and the rule.
func (e *ConfigError) Error() string { return fmt.Sprintf("peer: Config.%s %s", e.Field, e.Rule) }

// validate is for a config with its defaults.
func (c *Config) validate() error {
	switch {
	case c.Timeout < 0:
		return &ConfigError{"Timeout", "must be positive"}
	case c.ConnectTimeout < 0:
		return &ConfigError{"ConnectTimeout", "must be positive"}
	case c.MaxInFlight < 1 || c.MaxInFlight > 10_000:
		return &ConfigError{"MaxInFlight", "must be from 1 to 10,000"}
	case c.MaxResponseBytes < 1<<10 || c.MaxResponseBytes > 1<<30:
		return &ConfigError{"MaxResponseBytes", "must be from 1 KiB to 1 GiB"}
	case c.ConnsPerPeer < 1 || c.ConnsPerPeer > 100:
		return &ConfigError{"ConnsPerPeer", "must be from 1 to 100"}
	case c.LongConnsPerPeer < 1 || c.LongConnsPerPeer > 10_000:
		return &ConfigError{"LongConnsPerPeer", "must be from 1 to 10,000"}
	case c.IdleTimeout < 0:
		return &ConfigError{"IdleTimeout", "must be positive"}
	case c.BackoffMin < 0:
		return &ConfigError{"BackoffMin", "must be positive"}
	case c.BackoffMax < c.BackoffMin:
		return &ConfigError{"BackoffMax", "must be at least BackoffMin"}
	case len(c.ClientID) > 249:
		return &ConfigError{"ClientID", "must be at most 249 bytes"}
	}
	return nil
}
