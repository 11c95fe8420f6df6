package scenario

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Env is what the environment tells a program.
type Env struct {
	Bootstrap   string   // BOOTSTRAP: addresses of brokers, with commas between them
	Prefix      string   // PREFIX: with which topics and groups of this program begin
	Scenarios   []string // SCENARIOS: names with commas between them
	StartMillis int64    // START_MS: the timestamp of Sample(0)
	Replication int      // REPLICATION: of new topics

	FailoverRecords  int           // FAILOVER_RECORDS: how many records failover sends
	FailoverInterval time.Duration // FAILOVER_MS: and how long it waits between them
}

// Brokers is Bootstrap as a list.
func (e Env) Brokers() []string { return strings.Split(e.Bootstrap, ",") }

// EnvFromOS reads the environment.
func EnvFromOS() (Env, error) {
	var e Env
	var err error
	number := func(name string) int64 {
		n, parseErr := strconv.ParseInt(os.Getenv(name), 10, 64)
		if parseErr != nil && err == nil {
			err = fmt.Errorf("environment variable %s: %w", name, parseErr)
		}
		return n
	}
	text := func(name string) string {
		s := os.Getenv(name)
		if s == "" && err == nil {
			err = fmt.Errorf("environment variable %s is not set", name)
		}
		return s
	}
	e.Bootstrap = text("BOOTSTRAP")
	e.Prefix = text("PREFIX")
	e.Scenarios = strings.Split(text("SCENARIOS"), ",")
	e.StartMillis = number("START_MS")
	e.Replication = int(number("REPLICATION"))
	e.FailoverRecords = int(number("FAILOVER_RECORDS"))
	e.FailoverInterval = time.Duration(number("FAILOVER_MS")) * time.Millisecond
	return e, err
}
