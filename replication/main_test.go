package replication

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	raftLoggers.add(slog.New(slog.DiscardHandler)) // for what runs without a Node
	goleak.VerifyTestMain(m)
}
